#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_LAYER_TABLE_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_LAYER_TABLE_H_

#include <map>
#include <string>
#include <vector>

#include "workers/engine/graph/graph.h"
#include "workers/engine/report/report.h"

namespace condense::pipeline {

// A row per Conv, Gemm and MatMul of `after` that has weights: its channels
// beside those of the node of this name in `before`, its quantizer, sparsity,
// noise and bytes. Layers in bodies of control flow follow, frozen. `frozen`:
// by "prune/NAME" and "quantize/PROFILE/NAME". `weight_snr_db`: by
// "PROFILE/NAME", for weights that were rounded already; others are what
// `after` has against its levels.
std::vector<report::Layer> LayerTable(
    const graph::Graph& before, const graph::Graph& after,
    const std::map<std::string, std::string>& frozen,
    const std::map<std::string, double>& weight_snr_db,
    const std::string& profile);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_LAYER_TABLE_H_
