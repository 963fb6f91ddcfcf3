#include "workers/engine/quantization/range_average.h"

#include <cmath>
#include <limits>
#include <set>

namespace condense::quantization {

using graph::Node;
using graph::ValueId;

RangeAverage::RangeAverage(const graph::Graph& training_graph,
                           runtime::Executor* executor, Options options)
    : executor_(executor), options_(options) {
  std::set<ValueId> known;
  for (graph::NodeId id : training_graph.order()) {
    const Node& node = training_graph.node(id);
    if (!node.IsFakeQuantize() || node.String("role", "") != "activation" ||
        node.input(3) == graph::kNoValue ||
        !known.insert(node.inputs[1]).second) {
      continue;
    }
    quantizers_.push_back({node.inputs[1],
                           node.inputs[2],
                           node.inputs[3],
                           {node.Int("qmin", 0), node.Int("qmax", 255)}});
  }
}

void RangeAverage::Update() {
  const torch::NoGradGuard no_grad;
  for (const Quantizer& quantizer : quantizers_) {
    torch::Tensor range = executor_->ConstantTensor(quantizer.range);
    const torch::Tensor host = range.to(torch::kCPU).contiguous();
    float* r = host.data_ptr<float>();
    if (!std::isfinite(r[2]) || !std::isfinite(r[3])) continue;
    r[0] += static_cast<float>(options_.rate * (r[2] - r[0]));
    r[1] += static_cast<float>(options_.rate * (r[3] - r[1]));
    r[2] = std::numeric_limits<float>::infinity();
    r[3] = -r[2];
    if (!range.is_cpu()) range.copy_(host);
    Grid grid = options_.symmetric
                    ? SymmetricGrid(std::max(std::abs(r[0]), std::abs(r[1])),
                                    quantizer.levels)
                    : AffineGrid(r[0], r[1], quantizer.levels);
    if (options_.power_of_two) grid = PowerOfTwoGrid(grid, quantizer.levels);
    executor_->ConstantTensor(quantizer.scale).fill_(grid.scale);
    executor_->ConstantTensor(quantizer.zero_point).fill_(grid.zero_point);
  }
}

}  // namespace condense::quantization
