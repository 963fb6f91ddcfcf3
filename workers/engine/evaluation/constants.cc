#include "workers/engine/evaluation/constants.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/status_macros.h"

namespace condense::evaluation {
namespace {

using graph::Graph;
using graph::kNoNode;
using graph::kNoValue;
using graph::Node;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;

// Which scale each element has: one, one along the axis, or one per block.
class ScaleIndex {
 public:
  ScaleIndex(const Node& node, const Tensor& levels, int64_t scales)
      : scales_(scales), block_(node.Int("block_size", 0)) {
    int64_t axis = node.Int("axis", 1);
    if (axis < 0) axis += levels.rank();
    for (int64_t i = axis + 1; i < levels.rank(); ++i) {
      inner_ *= levels.dims()[i];
    }
    if (axis < levels.rank()) along_ = levels.dims()[axis];
  }

  int64_t At(int64_t element) const {
    if (scales_ == 1) return 0;
    const int64_t at = element / inner_ % along_;
    if (block_ == 0) return at;
    const int64_t blocks = (along_ + block_ - 1) / block_;
    const int64_t outer = element / (inner_ * along_);
    return (outer * blocks + at / block_) * inner_ + element % inner_;
  }
  bool in_blocks() const { return block_ > 0; }

 private:
  int64_t inner_ = 1;
  int64_t along_ = 1;
  const int64_t scales_;
  const int64_t block_;
};

Constant Dequantized(const Graph& graph, const Node& node) {
  const Tensor& tensor = *graph.ConstantOf(node.inputs[0]);
  std::vector<int64_t> zeros;
  if (node.input(2) != kNoValue) {
    zeros = graph.ConstantOf(node.inputs[2])->ToInts();
  }
  Constant out;
  out.dims = tensor.dims();
  out.scales = graph.ConstantOf(node.inputs[1])->ToFloats();
  const ScaleIndex index(node, tensor, std::ssize(out.scales));
  const std::vector<int64_t> levels = tensor.ToInts();
  out.levels.reserve(levels.size());
  out.values.reserve(levels.size());
  for (size_t i = 0; i < levels.size(); ++i) {
    const int64_t at = index.At(static_cast<int64_t>(i));
    const int64_t level = zeros.empty() ? levels[i] : levels[i] - zeros[at];
    out.levels.push_back(static_cast<int32_t>(level));
    out.values.push_back(static_cast<float>(level) * out.scales[at]);
  }
  // A sum over blocks is no integer times one scale.
  if (index.in_blocks()) {
    out.levels.clear();
    out.scales.clear();
  }
  return out;
}

bool MakesConstants(const Graph& graph, const Node& node) {
  if (!node.domain.empty()) return false;
  if (node.Is("DequantizeLinear")) {
    return graph.IsConstant(node.inputs[0]) &&
           graph.IsConstant(node.inputs[1]) &&
           (node.input(2) == kNoValue || graph.IsConstant(node.inputs[2]));
  }
  const bool known =
      node.Is("Cast") || node.Is("Reshape") || node.Is("Mul") || node.Is("Sub");
  return known &&
         graph::IsFloating(
             graph::DTypeFromName(node.String("to", "float32"))) &&
         graph::IsFloating(graph.value(node.outputs[0]).dtype) &&
         std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) {
           return id == kNoValue || IsStoredConstant(graph, id);
         });
}

}  // namespace

bool IsStoredConstant(const Graph& graph, ValueId id) {
  if (id == kNoValue) return false;
  if (graph.IsConstant(id)) return true;
  const NodeId producer = graph.value(id).producer;
  return producer != kNoNode && MakesConstants(graph, graph.node(producer));
}

absl::StatusOr<Constant> ReadConstant(const Graph& graph, ValueId id) {
  Constant out;
  if (const Tensor* tensor = graph.ConstantOf(id)) {
    out.dims = tensor->dims();
    out.values = tensor->ToFloats();
    return out;
  }
  const Node& node = graph.node(graph.value(id).producer);
  if (node.Is("DequantizeLinear")) return Dequantized(graph, node);
  if (node.Is("Cast")) return ReadConstant(graph, node.inputs[0]);
  std::vector<Activation> inputs;
  for (ValueId input : node.inputs) {
    CONDENSE_ASSIGN_OR_RETURN(Constant constant, ReadConstant(graph, input));
    inputs.emplace_back();
    inputs.back().dims = std::move(constant.dims);
    inputs.back().values = std::move(constant.values);
  }
  std::vector<const Activation*> pointers;
  for (const Activation& input : inputs) pointers.push_back(&input);
  CONDENSE_ASSIGN_OR_RETURN(Activation y, RunFloat(graph, node, pointers));
  out.dims = std::move(y.dims);
  out.values = std::move(y.values);
  return out;
}

}  // namespace condense::evaluation
