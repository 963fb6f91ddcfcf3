#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_ANALYSIS_TEXT_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_ANALYSIS_TEXT_H_

#include <string>
#include <vector>

#include "nlohmann/json_fwd.hpp"
#include "workers/engine/graph/graph.h"
#include "workers/engine/pipeline/analysis.h"

namespace condense::pipeline {

// What rows of the tables are sorted by: the greatest first, or as in the
// model.
enum class AnalysisSort { kBytes, kMacs, kActivations, kTime, kOrder };

struct AnalysisTextOptions {
  AnalysisSort sort = AnalysisSort::kBytes;
  // Columns of the terminal; 0: as wide as the content.
  int width = 0;
  // The most layers listed; 0: all.
  int layers_max = 0;
  // No profile was asked for: the text says so.
  bool default_profile = false;
};

// For people: a summary, a table of operators, one of layers with their shares
// of bytes, multiply-accumulates and time and what can be done about them, and
// numbered reasons for what cannot. Names are cut in the middle and the less
// important columns go where the terminal is narrow.
std::string AnalysisText(const graph::Graph& graph, const Analysis& analysis,
                         const AnalysisTextOptions& options);

// For machines, by field:
//   name, size_bytes, parameters, macs, parameter_bytes, activation_bytes,
//   inputs, outputs: [{name, dtype, shape}], operators: {op: count}, profile,
//   quantized, estimated_ms, estimated_ms_quantized, prunable_channels,
//   prunable_groups, predicted_size_bytes: {bits_8, bits_4}, layers: [{name,
//   op, shape, macs, parameters, bytes, activation_bytes, estimated_ms,
//   prunable_channels and prune_group, or frozen_reason; quantizable,
//   quantize_frozen_reason}], operator_costs: [{op, count, macs, parameters,
//   bytes, activation_bytes, estimated_ms}].
// Layers stand in the model's order; fields that do not apply are absent.
nlohmann::ordered_json AnalysisJson(const graph::Graph& graph,
                                    const Analysis& analysis);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_ANALYSIS_TEXT_H_
