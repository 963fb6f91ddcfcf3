#include "workers/engine/graph/passes/fuse_layer_norm.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "common/status_macros.h"
#include "workers/engine/graph/passes/dead_code.h"
#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

struct Match {
  ValueId x = kNoValue;
  int64_t axis = -1;
  float epsilon = 0;
  ValueId scale = kNoValue;
  ValueId bias = kNoValue;
  // The node whose output is the whole.
  NodeId last = kNoNode;
};

// The first of the reduced axes if they are the last ones, -1 if not.
int64_t FirstAxis(const Graph& graph, const Node& mean) {
  const auto& shape = graph.value(mean.inputs[0]).shape;
  if (!shape || mean.Int("keepdims", 1) == 0) return -1;
  const int64_t rank = static_cast<int64_t>(shape->size());
  std::vector<int64_t> axes = mean.Ints("axes");
  for (int64_t& axis : axes) axis = axis < 0 ? axis + rank : axis;
  std::sort(axes.begin(), axes.end());
  if (axes.empty() || axes.back() != rank - 1 ||
      axes.front() != rank - static_cast<int64_t>(axes.size())) {
    return -1;
  }
  return axes.front();
}

// The mean of the squares of `centred`.
const Node* VarianceOf(const Graph& graph, ValueId id, ValueId centred) {
  const Node* mean = MadeBy(graph, id, "ReduceMean");
  if (mean == nullptr) return nullptr;
  if (const Node* pow = MadeBy(graph, mean->inputs[0], "Pow")) {
    const bool square =
        pow->inputs[0] == centred && IsNumber(graph, pow->input(1), 2);
    return square ? mean : nullptr;
  }
  if (const Node* mul = MadeBy(graph, mean->inputs[0], "Mul")) {
    const bool square = mul->inputs[0] == centred && mul->inputs[1] == centred;
    return square ? mean : nullptr;
  }
  return nullptr;
}

bool MatchCore(const Graph& graph, const Node& div, Match* match) {
  const Node* sub = MadeBy(graph, div.input(0), "Sub");
  const Node* root = MadeBy(graph, div.input(1), "Sqrt");
  if (sub == nullptr || root == nullptr) return false;
  const Node* add = MadeBy(graph, root->inputs[0], "Add");
  const Node* mean = MadeBy(graph, sub->input(1), "ReduceMean");
  if (add == nullptr || mean == nullptr || mean->inputs[0] != sub->inputs[0]) {
    return false;
  }
  for (size_t i : {0, 1}) {
    const auto epsilon = NumberOf(graph, add->inputs[1 - i]);
    const Node* variance = VarianceOf(graph, add->inputs[i], sub->outputs[0]);
    if (!epsilon || variance == nullptr) continue;
    match->x = sub->inputs[0];
    match->axis = FirstAxis(graph, *mean);
    match->epsilon = *epsilon;
    match->last = div.id;
    return match->axis >= 0 && FirstAxis(graph, *variance) == match->axis;
  }
  return false;
}

// A constant over exactly the normalised axes, for scale and bias.
ValueId ConstantOperand(const Graph& graph, const Node& node, ValueId other,
                        const Match& match) {
  const auto& shape = graph.value(match.x).shape;
  const Shape wanted(shape->begin() + match.axis, shape->end());
  for (size_t i : {0, 1}) {
    const ValueId id = node.inputs[i];
    if (graph.IsConstant(id) && node.inputs[1 - i] == other &&
        graph.value(id).shape == wanted) {
      return id;
    }
  }
  return kNoValue;
}

void MatchAffine(const Graph& graph, Match* match) {
  ValueId y = graph.node(match->last).outputs[0];
  NodeId next = OnlyConsumer(graph, y);
  if (next == kNoNode || !graph.node(next).Is("Mul")) return;
  match->scale = ConstantOperand(graph, graph.node(next), y, *match);
  if (match->scale == kNoValue) return;
  match->last = next;
  y = graph.node(next).outputs[0];
  next = OnlyConsumer(graph, y);
  if (next == kNoNode || !graph.node(next).Is("Add")) return;
  match->bias = ConstantOperand(graph, graph.node(next), y, *match);
  if (match->bias != kNoValue) match->last = next;
}

}  // namespace

absl::StatusOr<bool> FuseLayerNorm::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (!graph.HasNode(id) || !graph.node(id).Is("Div")) continue;
    Match match;
    if (!MatchCore(graph, graph.node(id), &match)) continue;
    MatchAffine(graph, &match);
    const Shape& shape = *graph.value(match.x).shape;
    if (match.scale == kNoValue) {
      const auto dims =
          KnownDims(Shape(shape.begin() + match.axis, shape.end()));
      if (!dims) continue;
      const int64_t count = std::accumulate(dims->begin(), dims->end(),
                                            int64_t{1}, std::multiplies<>());
      match.scale = graph.AddConstant(
          "scale", Tensor::Of<float>(*dims, std::vector<float>(count, 1.0f)));
    }
    Rewriter rewriter(&graph, match.last);
    std::vector<ValueId> inputs = {match.x, match.scale};
    if (match.bias != kNoValue) inputs.push_back(match.bias);
    rewriter.Replace(
        rewriter.Op("LayerNormalization", inputs,
                    {{"axis", match.axis - static_cast<int64_t>(shape.size())},
                     {"epsilon", match.epsilon}}));
    changed = true;
  }
  // Else the parts would be found again.
  if (changed) CONDENSE_RETURN_IF_ERROR(DeadCode().Run(graph).status());
  return changed;
}

}  // namespace condense::graph
