#include "workers/engine/graph/passes/widen_floats.h"

#include <memory>

#include "workers/engine/graph/convert_floats.h"
#include "workers/engine/graph/declared_types.h"

namespace condense::graph {
namespace {

bool ToWiden(DType dtype) {
  return IsFloating(dtype) && dtype != DType::kFloat32;
}

// Types in attributes: names ("to" of Cast), tensors ("value" of
// ConstantOfShape), and bodies.
bool WidenAttributes(Node& node) {
  bool changed = false;
  for (const char* key : {"to", "dtype", "output_datatype"}) {
    if (!ToWiden(DTypeFromName(node.String(key, "")))) continue;
    node.attrs[key] = std::string(DTypeName(DType::kFloat32));
    changed = true;
  }
  for (auto& [key, attribute] : node.attrs) {
    if (const auto* tensor = std::get_if<Tensor>(&attribute)) {
      if (!ToWiden(tensor->dtype())) continue;
      attribute = ConvertFloats(*tensor, DType::kFloat32);
      changed = true;
    }
  }
  return changed;
}

bool Widen(Graph& graph);

bool WidenBodies(Node& node) {
  bool changed = false;
  for (auto& [key, attribute] : node.attrs) {
    const auto* body = std::get_if<std::shared_ptr<const Graph>>(&attribute);
    if (body == nullptr) continue;
    auto copy = std::make_shared<Graph>(**body);
    if (!Widen(*copy)) continue;
    attribute = std::shared_ptr<const Graph>(std::move(copy));
    changed = true;
  }
  return changed;
}

bool Widen(Graph& graph) {
  bool changed = false;
  for (ValueId id : graph.values()) {
    if (!ToWiden(graph.value(id).dtype)) continue;
    changed = true;
    const Tensor* constant = graph.ConstantOf(id);
    if (constant != nullptr) {
      graph.SetConstant(id, ConvertFloats(*constant, DType::kFloat32));
    }
    graph.mutable_value(id).dtype = DType::kFloat32;
  }
  for (NodeId id : graph.order()) {
    changed |= WidenAttributes(graph.mutable_node(id));
    changed |= WidenBodies(graph.mutable_node(id));
  }
  return changed;
}

}  // namespace

absl::StatusOr<bool> WidenFloats::Run(Graph& graph) const {
  for (const auto* ids : {&graph.inputs(), &graph.outputs()}) {
    for (ValueId id : *ids) {
      const Value& value = graph.value(id);
      if (ToWiden(value.dtype)) DeclareType(graph, value.name, value.dtype);
    }
  }
  return Widen(graph);
}

}  // namespace condense::graph
