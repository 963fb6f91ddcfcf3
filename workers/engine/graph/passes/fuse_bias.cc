#include "workers/engine/graph/passes/fuse_bias.h"

#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

// How many output channels the layer has, 0 if it takes no bias.
int64_t OutputsOf(const Graph& graph, const Node& node) {
  const Tensor* weight = graph.ConstantOf(node.input(1));
  if (weight == nullptr || node.input(2) != kNoValue || weight->rank() < 2) {
    return 0;
  }
  const auto& dims = weight->dims();
  if (node.Is("Conv")) return dims[0];
  if (node.Is("ConvTranspose")) return dims[1] * node.Int("group", 1);
  if (node.Is("Gemm")) {
    return node.Float("beta", 1) != 1 ? 0 : dims[node.Int("transB", 0) ? 0 : 1];
  }
  const auto& shape = graph.value(node.inputs[0]).shape;
  const bool plain = node.Is("MatMul") && weight->rank() == 2 && shape &&
                     shape->size() == 2 && IsFloating(weight->dtype());
  return plain ? dims[1] : 0;
}

// Whether the constant has one element per channel of the layer's output.
bool IsPerChannel(const Tensor& tensor, int64_t outputs, int64_t rank) {
  const int64_t axis = 1 - (rank - tensor.rank());
  return tensor.rank() <= rank && axis >= 0 && tensor.dims()[axis] == outputs &&
         tensor.num_elements() == outputs;
}

// The constant as [C], under the name that it has.
ValueId Flat(Graph& graph, ValueId id) {
  const Tensor tensor = *graph.ConstantOf(id);
  if (tensor.rank() == 1) return id;
  const std::string name = graph.value(id).name;
  const ValueId flat = graph.AddConstant(
      name, Tensor(tensor.dtype(), {tensor.num_elements()}, tensor.bytes()));
  graph.RenameValue(flat, name);
  return flat;
}

bool Fuse(Graph& graph, NodeId add_id) {
  const Node& add = graph.node(add_id);
  if (!add.Is("Add") || add.inputs.size() != 2) return false;
  const size_t at = graph.IsConstant(add.inputs[0]) ? 0 : 1;
  const Tensor* bias = graph.ConstantOf(add.inputs[at]);
  const ValueId made = add.inputs[1 - at];
  if (bias == nullptr || OnlyConsumer(graph, made) != add_id ||
      graph.value(made).producer == kNoNode) {
    return false;
  }
  const NodeId layer = graph.value(made).producer;
  const Node& node = graph.node(layer);
  const int64_t outputs = OutputsOf(graph, node);
  const bool matrix = node.Is("Gemm") || node.Is("MatMul");
  const int64_t rank =
      matrix || outputs == 0 ? 2 : graph.ConstantOf(node.inputs[1])->rank();
  if (outputs == 0 || !IsPerChannel(*bias, outputs, rank)) return false;
  const ValueId flat = Flat(graph, add.inputs[at]);
  Node& changed = graph.mutable_node(layer);
  if (changed.Is("MatMul")) changed.op = "Gemm";
  changed.inputs.resize(3, kNoValue);
  changed.inputs[2] = flat;
  const std::string name = graph.value(add.outputs[0]).name;
  graph.ReplaceUses(add.outputs[0], made);
  graph.RemoveNode(add_id);
  graph.RenameValue(made, name);
  return true;
}

}  // namespace

absl::StatusOr<bool> FuseBias::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (graph.HasNode(id)) changed |= Fuse(graph, id);
  }
  if (changed) graph.RemoveDeadValues();
  return changed;
}

}  // namespace condense::graph
