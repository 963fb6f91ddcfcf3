#include "workers/engine/graph/passes/fuse_gelu.h"

#include <algorithm>

#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

// x of erf(x / sqrt 2), kNoValue if the node is something else.
ValueId ArgumentOf(const Graph& graph, const Node& erf) {
  const ValueId in = erf.inputs[0];
  if (const Node* div = MadeBy(graph, in, "Div")) {
    return IsNumber(graph, div->input(1), 1.41421356f) ? div->inputs[0]
                                                       : kNoValue;
  }
  if (const Node* mul = MadeBy(graph, in, "Mul")) {
    return OtherThanNumber(graph, *mul, 0.70710678f);
  }
  return kNoValue;
}

// The factors of a product, looking through products inside of it.
void Factors(const Graph& graph, ValueId id, int depth,
             std::vector<ValueId>* factors) {
  const Node* mul = depth > 0 ? MadeBy(graph, id, "Mul") : nullptr;
  if (mul == nullptr || mul->inputs.size() != 2) {
    factors->push_back(id);
    return;
  }
  for (ValueId input : mul->inputs) Factors(graph, input, depth - 1, factors);
}

bool IsGelu(const Graph& graph, ValueId product, ValueId x, ValueId one_plus) {
  std::vector<ValueId> factors;
  Factors(graph, product, 2, &factors);
  if (factors.size() != 3) return false;
  const bool half = std::any_of(factors.begin(), factors.end(), [&](ValueId f) {
    return IsNumber(graph, f, 0.5f);
  });
  return half && std::count(factors.begin(), factors.end(), x) == 1 &&
         std::count(factors.begin(), factors.end(), one_plus) == 1;
}

bool Fuse(Graph& graph, NodeId erf_id) {
  const Node& erf = graph.node(erf_id);
  const ValueId x = ArgumentOf(graph, erf);
  const NodeId add_id = OnlyConsumer(graph, erf.outputs[0]);
  if (x == kNoValue || add_id == kNoNode) return false;
  const Node& add = graph.node(add_id);
  if (!add.Is("Add") || OtherThanNumber(graph, add, 1) != erf.outputs[0]) {
    return false;
  }
  ValueId product = add.outputs[0];
  for (int step = 0; step < 2; ++step) {
    const NodeId next = OnlyConsumer(graph, product);
    if (next == kNoNode || !graph.node(next).Is("Mul")) return false;
    product = graph.node(next).outputs[0];
    if (!IsGelu(graph, product, x, add.outputs[0])) continue;
    Rewriter rewriter(&graph, next);
    rewriter.Replace(
        rewriter.Op("Gelu", {x}, {{"approximate", std::string("none")}}));
    return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<bool> FuseGelu::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (graph.HasNode(id) && graph.node(id).Is("Erf")) {
      changed |= Fuse(graph, id);
    }
  }
  return changed;
}

}  // namespace condense::graph
