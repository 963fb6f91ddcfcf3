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

// d where the value is the mean of d * d.
ValueId SquaredInMean(const Graph& graph, const Node& mean) {
  if (const Node* pow = MadeBy(graph, mean.inputs[0], "Pow")) {
    return IsNumber(graph, pow->input(1), 2) ? pow->inputs[0] : kNoValue;
  }
  const Node* mul = MadeBy(graph, mean.inputs[0], "Mul");
  const bool square = mul != nullptr && mul->inputs[0] == mul->inputs[1];
  return square ? mul->inputs[0] : kNoValue;
}

// x - mean of x over the last axes.
const Node* Centred(const Graph& graph, ValueId id, Match* match) {
  const Node* sub = MadeBy(graph, id, "Sub");
  if (sub == nullptr) return nullptr;
  const Node* mean = MadeBy(graph, sub->input(1), "ReduceMean");
  if (mean == nullptr || mean->inputs[0] != sub->inputs[0]) return nullptr;
  match->x = sub->inputs[0];
  match->axis = FirstAxis(graph, *mean);
  return match->axis >= 0 ? sub : nullptr;
}

// variance of x + epsilon; fills in x, axis and epsilon.
bool MatchVariance(const Graph& graph, ValueId id, Match* match) {
  const Node* add = MadeBy(graph, id, "Add");
  if (add == nullptr || add->inputs.size() != 2) return false;
  for (size_t i : {0, 1}) {
    const auto epsilon = NumberOf(graph, add->inputs[1 - i]);
    const Node* mean = MadeBy(graph, add->inputs[i], "ReduceMean");
    if (!epsilon || mean == nullptr) continue;
    match->epsilon = *epsilon;
    const ValueId centred = SquaredInMean(graph, *mean);
    return centred != kNoValue && Centred(graph, centred, match) != nullptr &&
           FirstAxis(graph, *mean) == match->axis;
  }
  return false;
}

// sqrt(variance + epsilon)
bool MatchDeviation(const Graph& graph, ValueId id, Match* match) {
  if (const Node* root = MadeBy(graph, id, "Sqrt")) {
    return MatchVariance(graph, root->inputs[0], match);
  }
  const Node* pow = MadeBy(graph, id, "Pow");
  return pow != nullptr && IsNumber(graph, pow->input(1), 0.5f) &&
         MatchVariance(graph, pow->inputs[0], match);
}

// 1 / sqrt(variance + epsilon)
bool MatchInverse(const Graph& graph, ValueId id, Match* match) {
  if (const Node* inverse = MadeBy(graph, id, "Reciprocal")) {
    return MatchDeviation(graph, inverse->inputs[0], match);
  }
  if (const Node* div = MadeBy(graph, id, "Div")) {
    return IsNumber(graph, div->input(0), 1) &&
           MatchDeviation(graph, div->inputs[1], match);
  }
  const Node* pow = MadeBy(graph, id, "Pow");
  return pow != nullptr && IsNumber(graph, pow->input(1), -0.5f) &&
         MatchVariance(graph, pow->inputs[0], match);
}

// The value is x - mean of the x that `match` has.
bool IsCentred(const Graph& graph, ValueId id, const Match& match) {
  Match found;
  return Centred(graph, id, &found) != nullptr && found.x == match.x &&
         found.axis == match.axis;
}

// (x - mean) / deviation, or times its inverse.
bool MatchCore(const Graph& graph, const Node& node, Match* match) {
  match->last = node.id;
  if (node.Is("Div")) {
    return MatchDeviation(graph, node.input(1), match) &&
           IsCentred(graph, node.inputs[0], *match);
  }
  if (!node.Is("Mul") || node.inputs.size() != 2) return false;
  for (size_t i : {0, 1}) {
    if (MatchInverse(graph, node.inputs[i], match) &&
        IsCentred(graph, node.inputs[1 - i], *match)) {
      return true;
    }
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

// A product of `factor` with the other input, which is returned.
ValueId OtherFactor(const Graph& graph, ValueId product, ValueId factor) {
  const Node* mul = MadeBy(graph, product, "Mul");
  if (mul == nullptr || mul->inputs.size() != 2) return kNoValue;
  if (mul->inputs[0] == factor) return mul->inputs[1];
  return mul->inputs[1] == factor ? mul->inputs[0] : kNoValue;
}

bool IsMeanOf(const Graph& graph, ValueId id, const Match& match) {
  const Node* mean = MadeBy(graph, id, "ReduceMean");
  return mean != nullptr && mean->inputs[0] == match.x &&
         FirstAxis(graph, *mean) == match.axis;
}

// x k + (bias - mean k) with k = scale / deviation, as Keras computes it.
bool MatchKeras(const Graph& graph, const Node& add, Match* match) {
  if (!add.Is("Add") || add.inputs.size() != 2) return false;
  for (size_t i : {0, 1}) {
    const Node* scaled = MadeBy(graph, add.inputs[i], "Mul");
    const Node* rest = MadeBy(graph, add.inputs[1 - i], "Sub");
    if (scaled == nullptr || rest == nullptr || scaled->inputs.size() != 2 ||
        !graph.IsConstant(rest->inputs[0])) {
      continue;
    }
    for (size_t k : {0, 1}) {
      const Node* factor = MadeBy(graph, scaled->inputs[k], "Mul");
      if (factor == nullptr || factor->inputs.size() != 2) continue;
      const size_t at = graph.IsConstant(factor->inputs[0]) ? 1 : 0;
      if (!MatchInverse(graph, factor->inputs[at], match) ||
          match->x != scaled->inputs[1 - k] ||
          !IsMeanOf(graph,
                    OtherFactor(graph, rest->inputs[1], factor->outputs[0]),
                    *match)) {
        continue;
      }
      match->scale =
          ConstantOperand(graph, *factor, factor->inputs[at], *match);
      match->bias = ConstantOperand(graph, *rest, rest->inputs[1], *match);
      match->last = add.id;
      return match->scale != kNoValue && match->bias != kNoValue;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<bool> FuseLayerNorm::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (!graph.HasNode(id)) continue;
    Match match;
    if (MatchCore(graph, graph.node(id), &match)) {
      MatchAffine(graph, &match);
    } else {
      match = Match();
      if (!MatchKeras(graph, graph.node(id), &match)) continue;
    }
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
