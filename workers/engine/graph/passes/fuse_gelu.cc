#include "workers/engine/graph/passes/fuse_gelu.h"

#include <algorithm>

#include "common/status_macros.h"
#include "workers/engine/graph/passes/dead_code.h"
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

// x of tanh(sqrt(2 / pi) (x + 0.044715 x^3)), kNoValue if it is not that.
ValueId CubicArgumentOf(const Graph& graph, const Node& tanh) {
  const Node* scaled = MadeBy(graph, tanh.inputs[0], "Mul");
  if (scaled == nullptr) return kNoValue;
  const ValueId sum_id = OtherThanNumber(graph, *scaled, 0.797884561f);
  const Node* sum = MadeBy(graph, sum_id, "Add");
  if (sum == nullptr) return kNoValue;
  for (size_t i : {0, 1}) {
    const ValueId x = sum->inputs[i];
    std::vector<ValueId> factors;
    Factors(graph, sum->inputs[1 - i], 3, &factors);
    int64_t power = 0;
    bool coefficient = false, other = false;
    for (ValueId factor : factors) {
      const Node* pow = MadeBy(graph, factor, "Pow");
      if (factor == x) {
        ++power;
      } else if (pow != nullptr && pow->inputs[0] == x &&
                 IsNumber(graph, pow->input(1), 3)) {
        power += 3;
      } else if (IsNumber(graph, factor, 0.044715f) && !coefficient) {
        coefficient = true;
      } else {
        other = true;
      }
    }
    if (power == 3 && coefficient && !other) return x;
  }
  return kNoValue;
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

bool Fuse(Graph& graph, NodeId gate_id) {
  const Node& gate = graph.node(gate_id);
  const bool by_tanh = gate.Is("Tanh");
  const ValueId x =
      by_tanh ? CubicArgumentOf(graph, gate) : ArgumentOf(graph, gate);
  const NodeId add_id = OnlyConsumer(graph, gate.outputs[0]);
  if (x == kNoValue || add_id == kNoNode) return false;
  const Node& add = graph.node(add_id);
  if (!add.Is("Add") || OtherThanNumber(graph, add, 1) != gate.outputs[0]) {
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
        rewriter.Op("Gelu", {x},
                    {{"approximate", std::string(by_tanh ? "tanh" : "none")}}));
    return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<bool> FuseGelu::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (graph.HasNode(id) &&
        (graph.node(id).Is("Erf") || graph.node(id).Is("Tanh"))) {
      changed |= Fuse(graph, id);
    }
  }
  // Else the parts would be found again.
  if (changed) CONDENSE_RETURN_IF_ERROR(DeadCode().Run(graph).status());
  return changed;
}

}  // namespace condense::graph
