#include "workers/engine/graph/passes/remove_identity.h"

#include <algorithm>
#include <numeric>

#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

bool AllZero(const Graph& graph, ValueId id) {
  const auto values = IntegersOf(graph, id);
  return values && std::all_of(values->begin(), values->end(),
                               [](int64_t v) { return v == 0; });
}

// Equal, with every dimension known or a symbol.
bool SameShape(const Graph& graph, ValueId a, ValueId b) {
  const auto &x = graph.value(a).shape, &y = graph.value(b).shape;
  return x && y && *x == *y &&
         std::all_of(x->begin(), x->end(), [](const Dim& dim) {
           return dim.known() || !dim.symbol.empty();
         });
}

bool HasOnlyOneInput(const Node& node) {
  return node.inputs.size() == 1 &&
         (node.Is("Concat") || node.Is("Sum") || node.Is("Max") ||
          node.Is("Min") || node.Is("Mean"));
}

// A pooling over windows of one place.
bool PoolsNothing(const Node& node) {
  auto all = [&](const char* key, int64_t number) {
    const std::vector<int64_t> values = node.Ints(key);
    return std::all_of(values.begin(), values.end(),
                       [&](int64_t v) { return v == number; });
  };
  return (node.Is("MaxPool") || node.Is("AveragePool")) &&
         node.outputs.size() == 1 && !node.Ints("kernel_shape").empty() &&
         all("kernel_shape", 1) && all("strides", 1) && all("pads", 0);
}

bool ChangesNothing(const Graph& graph, const Node& node) {
  if (node.Is("Identity") || HasOnlyOneInput(node) || PoolsNothing(node)) {
    return true;
  }
  if (node.Is("Reshape") || node.Is("Expand")) {
    return SameShape(graph, node.inputs[0], node.outputs[0]);
  }
  if (node.Is("Dropout")) {
    return node.outputs.size() == 1 || node.outputs[1] == kNoValue ||
           (graph.Consumers(node.outputs[1]).empty() &&
            !graph.IsOutput(node.outputs[1]));
  }
  if (node.Is("Cast")) {
    const DType from = graph.value(node.inputs[0]).dtype;
    return from != DType::kUndefined &&
           DTypeFromName(node.String("to", "")) == from;
  }
  if (node.Is("Pad")) return AllZero(graph, node.input(1));
  if (node.Is("Transpose")) {
    std::vector<int64_t> perm = node.Ints("perm"), same(perm.size());
    std::iota(same.begin(), same.end(), 0);
    return !perm.empty() && perm == same;
  }
  return false;
}

}  // namespace

absl::StatusOr<bool> RemoveIdentity::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    const Node& node = graph.node(id);
    if (!ChangesNothing(graph, node)) continue;
    const ValueId from = node.outputs[0], to = node.inputs[0];
    // An output must keep its name, and an input or constant must not become
    // one: then the node stays.
    if (graph.IsOutput(from)) {
      if (graph.value(to).producer == kNoNode || graph.IsOutput(to)) continue;
      const std::string name = graph.value(from).name;
      graph.ReplaceUses(from, to);
      graph.RemoveNode(id);
      graph.RenameValue(to, name);
    } else {
      graph.ReplaceUses(from, to);
      graph.RemoveNode(id);
    }
    changed = true;
  }
  if (changed) graph.RemoveDeadValues();
  return changed;
}

}  // namespace condense::graph
