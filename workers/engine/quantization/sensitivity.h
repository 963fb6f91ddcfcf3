#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_SENSITIVITY_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_SENSITIVITY_H_

#include <torch/torch.h>

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"

namespace condense::quantization {

// For each quantized layer of the calibrated simulation, by node name: the
// signal-to-noise ratio of the model's first output in dB on `images` when that
// layer alone (its weight and its input) is quantized. One forward pass each.
// Errors of the executor.
absl::StatusOr<std::map<std::string, double>> LayerSnrDb(
    const graph::Graph& graph, const torch::Tensor& images,
    const std::string& device);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_SENSITIVITY_H_
