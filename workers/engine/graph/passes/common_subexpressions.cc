#include "workers/engine/graph/passes/common_subexpressions.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "workers/engine/graph/text.h"

namespace condense::graph {
namespace {

// Constants up to this size are compared; larger equal ones are rare.
constexpr size_t kBytesMax = 1 << 16;

using Constants = std::map<std::string, ValueId>;

std::string KeyOf(const Tensor& tensor) {
  std::string key = absl::StrCat(DTypeName(tensor.dtype()), " ");
  for (int64_t dim : tensor.dims()) absl::StrAppend(&key, dim, ",");
  return absl::StrCat(key, ":", tensor.bytes());
}

// Small equal constants stand for each other in keys, not in the graph: weights
// that are equal by chance are trained apart.
ValueId Canonical(const Graph& graph, ValueId id, Constants* constants) {
  const Tensor* tensor = graph.ConstantOf(id);
  if (tensor == nullptr || tensor->dtype() == DType::kString ||
      tensor->bytes().size() > kBytesMax ||
      (IsFloating(tensor->dtype()) && tensor->num_elements() > 1)) {
    return id;
  }
  return constants->emplace(KeyOf(*tensor), id).first->second;
}

// Empty for nodes that are never merged.
std::string KeyOf(const Graph& graph, const Node& node, Constants* constants) {
  std::string key =
      absl::StrCat(node.domain, "::", node.op, "/", node.outputs.size(), "(");
  for (ValueId id : node.inputs) {
    absl::StrAppend(&key, id == kNoValue ? -1 : Canonical(graph, id, constants),
                    ",");
  }
  for (const auto& [name, value] : node.attrs) {
    if (std::holds_alternative<std::shared_ptr<const Graph>>(value)) return "";
    absl::StrAppend(&key, name, "=");
    if (const auto* tensor = std::get_if<Tensor>(&value)) {
      absl::StrAppend(&key, KeyOf(*tensor));
    } else {
      absl::StrAppend(&key, AttributeText(value));
    }
    key += ";";
  }
  return key;
}

bool MakesOutput(const Graph& graph, const Node& node) {
  for (ValueId id : node.outputs) {
    if (id != kNoValue && graph.IsOutput(id)) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<bool> CommonSubexpressions::Run(Graph& graph) const {
  bool changed = false;
  Constants constants;
  std::map<std::string, NodeId> seen;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    const Node& node = graph.node(id);
    if (MakesOutput(graph, node)) continue;
    const std::string key = KeyOf(graph, node, &constants);
    if (key.empty()) continue;
    const auto [first, fresh] = seen.emplace(key, id);
    if (fresh) continue;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId mine = node.outputs[i];
      const ValueId theirs = graph.node(first->second).outputs[i];
      if (mine == kNoValue || theirs == kNoValue) continue;
      graph.ReplaceUses(mine, theirs);
    }
    graph.RemoveNode(id);
    changed = true;
  }
  if (changed) graph.RemoveDeadValues();
  return changed;
}

}  // namespace condense::graph
