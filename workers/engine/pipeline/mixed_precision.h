#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_MIXED_PRECISION_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_MIXED_PRECISION_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/recipe/recipe.h"
#include "condense/v1/device_profile.pb.h"
#include "condense/v1/recipe.pb.h"
#include "workers/engine/data/loader.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/quantization/bit_allocation.h"
#include "workers/engine/quantization/bit_sensitivity.h"
#include "workers/engine/quantization/placement.h"

namespace condense::pipeline {

// The choice of weight bits of a quantize stage with `mixed_precision` for one
// profile.
struct WidthQuestion {
  // What can be chosen, without losses yet, and what the rest costs: the
  // target's unit.
  std::vector<quantization::WeightLayer> layers;
  std::vector<std::vector<quantization::BitChoice>> choices;
  double fixed = 0;
  double target = 0;
};

// Where the choice belongs in the recipe.
struct MixedPrecisionStage {
  const recipe::ParsedRecipe& parsed;
  // Resolved.
  const v1::Quantize& quantize;
  int stage = 0;
  const v1::DeviceProfile& profile;
};

// The layers of `floats`, with or without batch normalisation, and what each
// width of them costs; layers of numerics.bits have that width alone.
// INVALID_ARGUMENT: TARGET_UNREACHABLE, with what is reachable, where even the
// narrowest widths are above the target; PROFILE_CANNOT for widths that the
// profile does not run. Errors of placement and export.
absl::StatusOr<WidthQuestion> AskForWidths(
    const MixedPrecisionStage& stage, const quantization::Numerics& numerics,
    const graph::Graph& floats);

// MeasureBitSensitivity on samples of `calibration`, as the stage's
// mixed_precision says (kl without), for a model of this task.
absl::StatusOr<std::vector<std::vector<double>>> MeasureLosses(
    v1::Recipe::Task task, const graph::Graph& floats,
    const std::vector<quantization::WeightLayer>& layers,
    const std::vector<std::vector<quantization::WeightGrid>>& grids,
    const v1::Quantize& quantize, data::Loader* calibration,
    const std::string& device, uint64_t seed);

struct WidthAnswer {
  // By node name.
  std::map<std::string, int> bits;
  // For the log: the mean, what is reached of the target, each layer's bits.
  std::string text;
};

// The widths that lose the least under the target, by what each layer loses on
// samples of `calibration`. Errors as AskForWidths, of the loader and the
// executor.
absl::StatusOr<WidthAnswer> ChooseWidths(const MixedPrecisionStage& stage,
                                         const quantization::Numerics& numerics,
                                         const graph::Graph& floats,
                                         data::Loader* calibration,
                                         const std::string& device,
                                         uint64_t seed);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_MIXED_PRECISION_H_
