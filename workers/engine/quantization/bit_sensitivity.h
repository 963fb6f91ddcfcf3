#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_BIT_SENSITIVITY_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_BIT_SENSITIVITY_H_

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/quantization/weight_quantizer.h"

namespace condense::quantization {

// A layer with a quantized weight.
struct WeightLayer {
  std::string name;
  graph::NodeId node = graph::kNoNode;
  // Of the weight itself, which has the same id in the float graph.
  graph::ValueId weight = graph::kNoValue;
  graph::NodeId quantizer = graph::kNoNode;
  int64_t elements = 0;
  WeightGrid grid;
};
// Those of a graph that PlaceQuantizers made, in its order.
std::vector<WeightLayer> WeightLayers(const graph::Graph& placed);

struct BitSensitivityOptions {
  enum class Kind {
    // The loss with the layer's weight, alone, at its levels.
    kKl,
    // 1/2 tr(H) / n * ||Q(w) - w||^2 for the layer's n weights, H the Hessian
    // of the loss (HAWQ-V2, Dong et al., arXiv:1911.03852, with the 1/2 of the
    // expansion). The trace is Hutchinson's: the mean of v^T H v over
    // Rademacher
    // vectors v. At the model's own outputs the gradient of the loss is 0, so H
    // is J^T F J with F the Hessian with regard to the outputs, and J v is a
    // central difference of two forward passes: no second derivatives of
    // kernels, no labels.
    kHessian
  };
  Kind kind = Kind::kKl;
  // First outputs [N, n] are classes; false: they are compared as all others,
  // such as embeddings.
  bool classes = true;
  // Vectors of kHessian, for each layer.
  int probes = 8;
  uint64_t seed = 17;
  std::string device = "cpu";
};

// For each layer and each of its grids, what the model loses by it. The loss
// compares first outputs with those of `floats`, the model as it is: outputs
// [N, n] that are classes by KL(softmax(exact) || softmax(quantized)), mean
// over the samples; others by their squared error over their squared size.
// `images` is one batch, run a few at a time; `bits` has one list per layer.
// One forward pass per layer and width, or two per layer and probe. Errors of
// the executor.
absl::StatusOr<std::vector<std::vector<double>>> MeasureBitSensitivity(
    const graph::Graph& floats, const std::vector<WeightLayer>& layers,
    const std::vector<std::vector<WeightGrid>>& grids,
    const torch::Tensor& images, const BitSensitivityOptions& options);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_BIT_SENSITIVITY_H_
