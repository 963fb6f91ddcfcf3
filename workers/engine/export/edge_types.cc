#include "workers/engine/export/edge_types.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "workers/engine/graph/convert_floats.h"
#include "workers/engine/graph/declared_types.h"

namespace condense::onnx_export {
namespace {

using graph::DType;
using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

std::map<std::string, graph::Attribute> To(DType dtype) {
  return {{"to", std::string(graph::DTypeName(dtype))}};
}

// A Cast of `id` to float32 before node `where`; everything that read `id`
// reads the Cast.
void WidenBefore(Graph& graph, NodeId where, ValueId id) {
  const std::string name = graph.value(id).name;
  const NodeId cast =
      graph.InsertBefore(where, "Cast", absl::StrCat(name, "/to_float32"), {id},
                         absl::StrCat(name, "_float32"), To(DType::kFloat32));
  const ValueId wide = graph.node(cast).outputs[0];
  graph.ReplaceUses(id, wide);
  graph.mutable_node(cast).inputs[0] = id;
  graph.mutable_value(wide).dtype = DType::kFloat32;
  graph.mutable_value(wide).shape = graph.value(id).shape;
}

void RestoreInput(Graph& graph, ValueId id) {
  const DType declared = graph::DeclaredType(graph, id);
  if (declared == graph.value(id).dtype) return;
  graph.mutable_value(id).dtype = declared;
  // Without a reader it is only a declaration.
  if (!graph.order().empty()) WidenBefore(graph, graph.order()[0], id);
}

void RestoreOutput(Graph& graph, size_t index) {
  const ValueId id = graph.outputs()[index];
  const DType declared = graph::DeclaredType(graph, id);
  if (declared == graph.value(id).dtype) return;
  const std::string name = graph.value(id).name;
  graph.RenameValue(id, absl::StrCat(name, "_float32"));
  const NodeId cast = graph.AddNode("Cast", absl::StrCat(name, "/to_declared"),
                                    {id}, {name}, To(declared));
  const ValueId out = graph.node(cast).outputs[0];
  graph.mutable_value(out).dtype = declared;
  graph.mutable_value(out).shape = graph.value(id).shape;
  graph.ReplaceOutput(index, out);
}

bool IsWeight(const Graph& graph, ValueId id,
              const std::vector<NodeId>& consumers) {
  const graph::Tensor* tensor = graph.ConstantOf(id);
  if (tensor == nullptr || tensor->dtype() != DType::kFloat32 ||
      tensor->rank() < 2 || consumers.empty() || graph.IsOutput(id)) {
    return false;
  }
  return std::none_of(consumers.begin(), consumers.end(), [&](NodeId reader) {
    const Node& node = graph.node(reader);
    return !node.domain.empty() || node.Is("QuantizeLinear") ||
           node.Is("DequantizeLinear");
  });
}

}  // namespace

void RestoreDeclaredTypes(Graph& graph) {
  const std::vector<ValueId> inputs = graph.inputs();
  for (size_t i = 0; i < graph.outputs().size(); ++i) RestoreOutput(graph, i);
  for (ValueId id : inputs) RestoreInput(graph, id);
  graph::ForgetDeclaredTypes(graph);
}

void StoreWeightsAs(Graph& graph, DType dtype) {
  const auto consumers = graph.ConsumerTable();
  for (ValueId id : graph.values()) {
    if (static_cast<size_t>(id) >= consumers.size() ||
        !IsWeight(graph, id, consumers[id])) {
      continue;
    }
    graph.SetConstant(id, graph::ConvertFloats(*graph.ConstantOf(id), dtype));
    WidenBefore(graph, consumers[id][0], id);
  }
}

}  // namespace condense::onnx_export
