#include "workers/engine/graph/rewrite.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "workers/engine/graph/infer_shapes.h"

namespace condense::graph {

ValueId Rewriter::Op(absl::string_view op, std::vector<ValueId> inputs,
                     std::map<std::string, Attribute> attrs) {
  const std::string name = absl::StrCat(graph_.node(node_).name, "/", op);
  const NodeId id = graph_.InsertBefore(node_, op, name, std::move(inputs),
                                        name, std::move(attrs));
  // What does not fit is reported where all shapes are inferred.
  InferNode(graph_, id).IgnoreError();
  made_.insert(id);
  return graph_.node(id).outputs[0];
}

ValueId Rewriter::Ints(const std::vector<int64_t>& values) {
  return graph_.AddConstant(
      absl::StrCat(graph_.node(node_).name, "/ints"),
      Tensor::Of<int64_t>({static_cast<int64_t>(values.size())}, values));
}

ValueId Rewriter::Float(float value) {
  return graph_.AddConstant(absl::StrCat(graph_.node(node_).name, "/float"),
                            Tensor::Scalar<float>(value));
}

void Rewriter::Replace(ValueId result) {
  const ValueId old = graph_.node(node_).outputs[0];
  const std::string name = graph_.value(old).name;
  const std::string node_name = graph_.node(node_).name;
  graph_.ReplaceUses(old, result);
  graph_.RemoveNode(node_);
  graph_.RenameValue(result, name);
  const NodeId maker = graph_.value(result).producer;
  if (made_.count(maker) == 0) return;
  // The same node again, now that its name is free.
  const Node node = graph_.node(maker);
  const NodeId renamed = graph_.InsertAfter(
      maker, node.op, node_name, node.inputs, name, node.attrs, node.domain);
  graph_.RemoveNode(maker);
  // It makes the result itself, which callers may hold.
  graph_.mutable_value(graph_.node(renamed).outputs[0]).producer = kNoNode;
  graph_.mutable_node(renamed).outputs[0] = result;
  graph_.mutable_value(result).producer = renamed;
}

const Node* MadeBy(const Graph& graph, ValueId id, absl::string_view op) {
  if (id == kNoValue || graph.value(id).producer == kNoNode) return nullptr;
  const Node& node = graph.node(graph.value(id).producer);
  return node.Is(op) && node.outputs[0] == id ? &node : nullptr;
}

NodeId OnlyConsumer(const Graph& graph, ValueId id) {
  if (graph.IsOutput(id)) return kNoNode;
  const std::vector<NodeId> consumers = graph.Consumers(id);
  return consumers.size() == 1 ? consumers[0] : kNoNode;
}

std::optional<std::vector<int64_t>> IntegersOf(const Graph& graph, ValueId id) {
  const Tensor* tensor = graph.ConstantOf(id);
  if (tensor == nullptr || IsFloating(tensor->dtype()) ||
      tensor->dtype() == DType::kString) {
    return std::nullopt;
  }
  return tensor->ToInts();
}

std::optional<float> NumberOf(const Graph& graph, ValueId id) {
  const Tensor* tensor = graph.ConstantOf(id);
  if (tensor == nullptr || tensor->num_elements() != 1 ||
      !IsFloating(tensor->dtype())) {
    return std::nullopt;
  }
  return tensor->ToFloats()[0];
}

// Constants of float16 models are off by half of 2^-10.
constexpr float kHalfRounding = 4.9e-4f;

bool IsNumber(const Graph& graph, ValueId id, float number) {
  const auto value = NumberOf(graph, id);
  return value && std::abs(*value - number) <= kHalfRounding * std::abs(number);
}

ValueId OtherThanNumber(const Graph& graph, const Node& node, float number) {
  if (node.inputs.size() != 2) return kNoValue;
  if (IsNumber(graph, node.inputs[1], number)) return node.inputs[0];
  if (IsNumber(graph, node.inputs[0], number)) return node.inputs[1];
  return kNoValue;
}

}  // namespace condense::graph
