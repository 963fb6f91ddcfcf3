#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_QUANTIZE_SETTINGS_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_QUANTIZE_SETTINGS_H_

#include "absl/status/statusor.h"
#include "common/recipe/recipe.h"
#include "condense/v1/device_profile.pb.h"
#include "condense/v1/recipe.pb.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/quantization/placement.h"
#include "workers/engine/quantization/post_training.h"

namespace condense::pipeline {

// The numerics of stage `stage` on a profile. INVALID_ARGUMENT with reason
// PROFILE_CANNOT for numerics that the profile's runtime does not take, and as
// MatchingNodes.
absl::StatusOr<quantization::Numerics> NumericsOf(
    const recipe::ParsedRecipe& parsed, const v1::Quantize& quantize, int stage,
    const v1::DeviceProfile& profile, const graph::Graph& graph);

// NumericsOf with what the stage (resolved) does after training.
absl::StatusOr<quantization::PostTrainingOptions> PostTrainingOf(
    const recipe::ParsedRecipe& parsed, const v1::Recipe& resolved, int stage,
    const v1::DeviceProfile& profile, const graph::Graph& graph);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_QUANTIZE_SETTINGS_H_
