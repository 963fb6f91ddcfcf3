#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_WEIGHT_VIEW_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_WEIGHT_VIEW_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "workers/engine/graph/graph.h"

namespace condense::quantization {

// Where the weight of a Conv, Gemm or MatMul keeps the element that joins input
// channel `i` of a group to output channel `o` at kernel position `k`:
//   Conv [outputs, inputs per group, kernel...], Gemm with transB [outputs,
//   inputs], Gemm and MatMul [inputs, outputs].
struct WeightView {
  graph::ValueId weight = graph::kNoValue;
  int64_t outputs = 0;
  // Per group.
  int64_t inputs = 0;
  int64_t groups = 1;
  // Sizes of the kernel and their product; {} and 1 for linear layers.
  std::vector<int64_t> kernel_sizes;
  int64_t kernel = 1;
  bool outputs_first = true;

  int64_t outputs_per_group() const { return outputs / groups; }
  // One input channel in each group, as in depthwise convolutions.
  bool is_depthwise() const { return groups > 1 && inputs == 1; }
  int64_t At(int64_t o, int64_t i, int64_t k) const {
    return outputs_first ? (o * inputs + i) * kernel + k : i * outputs + o;
  }
};

// The weight that the node reads, through its quantizer if it has one; nullopt
// for other operators and for weights that are no float32 constants.
std::optional<WeightView> WeightViewOf(const graph::Graph& graph,
                                       const graph::Node& node);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_WEIGHT_VIEW_H_
