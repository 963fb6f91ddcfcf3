#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_PRECISION_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_PRECISION_H_

#include <torch/torch.h>

#include <string>
#include <vector>

#include "workers/engine/graph/graph.h"

namespace condense::runtime {

// What convolutions and matrix products compute in. Parameters, running
// statistics, optimizer and the graph's outputs are float32 in any case (mixed
// precision training, Micikevicius et al., arXiv:1710.03740).
enum class Precision { kFloat32, kBfloat16, kFloat16 };

// "float32", "bf16", "fp16".
std::string PrecisionName(Precision precision);
torch::ScalarType ScalarTypeOf(Precision precision);

// What happens to a node's float inputs before it runs.
enum class CastPolicy {
  // As they are: batch normalisation, which takes low activations beside
  // float32 parameters and keeps its sums in float32.
  kKeep,
  // To the low type: convolutions and matrix products.
  kLow,
  // Activations as they are, constants to the low type if an activation has it:
  // what moves or scales elements.
  kFollow,
  // To float32: everything else (softmax, losses, reductions, recurrences,
  // simulated quantizers).
  kFloat,
};
CastPolicy CastPolicyOf(const graph::Node& node);

// Applies the policy; `constant[i]` says whether argument `i` is one. Tensors
// that are not of a float type, or wider than float32, stay.
void CastArguments(CastPolicy policy, torch::ScalarType low,
                   const std::vector<bool>& constant,
                   std::vector<torch::Tensor>* arguments);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_PRECISION_H_
