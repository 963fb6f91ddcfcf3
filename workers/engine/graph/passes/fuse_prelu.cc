#include "workers/engine/graph/passes/fuse_prelu.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "workers/engine/graph/passes/dead_code.h"
#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

// value = sign * slope * negative part of x; slope kNoValue: `number` alone.
struct NegativePart {
  ValueId x = kNoValue;
  ValueId slope = kNoValue;
  float number = 1;
};

std::optional<NegativePart> NegativeOf(const Graph& graph, ValueId id);

// min(x, 0) as Min or Clip.
ValueId CutAbove(const Graph& graph, ValueId id) {
  if (const Node* min = MadeBy(graph, id, "Min")) {
    if (min->inputs.size() != 2) return kNoValue;
    for (size_t i : {0, 1}) {
      if (NumberOf(graph, min->inputs[i]) == 0.0f) return min->inputs[1 - i];
    }
  }
  const Node* clip = MadeBy(graph, id, "Clip");
  const bool cuts = clip != nullptr && clip->input(1) == kNoValue &&
                    NumberOf(graph, clip->input(2)) == 0.0f;
  return cuts ? clip->inputs[0] : kNoValue;
}

// x of x - |x|.
ValueId TwiceNegative(const Graph& graph, ValueId id) {
  const Node* sub = MadeBy(graph, id, "Sub");
  const Node* abs = sub ? MadeBy(graph, sub->input(1), "Abs") : nullptr;
  const bool fits = abs != nullptr && abs->inputs[0] == sub->inputs[0];
  return fits ? sub->inputs[0] : kNoValue;
}

// A product of the negative part with a constant, or with numbers.
std::optional<NegativePart> ProductOf(const Graph& graph, const Node& mul) {
  if (mul.inputs.size() != 2) return std::nullopt;
  for (size_t i : {0, 1}) {
    if (!graph.IsConstant(mul.inputs[i])) continue;
    auto part = NegativeOf(graph, mul.inputs[1 - i]);
    if (!part) return std::nullopt;
    if (const auto number = NumberOf(graph, mul.inputs[i])) {
      part->number *= *number;
    } else if (part->slope == kNoValue) {
      part->slope = mul.inputs[i];
    } else {
      return std::nullopt;
    }
    return part;
  }
  return std::nullopt;
}

std::optional<NegativePart> NegativeOf(const Graph& graph, ValueId id) {
  if (const ValueId x = CutAbove(graph, id); x != kNoValue) {
    return NegativePart{x, kNoValue, 1};
  }
  if (const ValueId x = TwiceNegative(graph, id); x != kNoValue) {
    return NegativePart{x, kNoValue, 2};
  }
  if (const Node* relu = MadeBy(graph, id, "Relu")) {
    // relu(-x) is minus the negative part.
    const Node* neg = MadeBy(graph, relu->inputs[0], "Neg");
    if (neg == nullptr) return std::nullopt;
    return NegativePart{neg->inputs[0], kNoValue, -1};
  }
  if (const Node* neg = MadeBy(graph, id, "Neg")) {
    auto part = NegativeOf(graph, neg->inputs[0]);
    if (part) part->number = -part->number;
    return part;
  }
  const Node* mul = MadeBy(graph, id, "Mul");
  return mul == nullptr ? std::nullopt : ProductOf(graph, *mul);
}

void Replace(Graph& graph, NodeId id, const NegativePart& part) {
  Rewriter rewriter(&graph, id);
  if (part.slope == kNoValue) {
    rewriter.Replace(
        rewriter.Op("LeakyRelu", {part.x}, {{"alpha", part.number}}));
    return;
  }
  ValueId slope = part.slope;
  if (part.number != 1) {
    const Tensor& tensor = *graph.ConstantOf(slope);
    std::vector<float> values = tensor.ToFloats();
    for (float& v : values) v *= part.number;
    const std::string name = graph.value(slope).name;
    slope = graph.AddConstant(name, Tensor::Of<float>(tensor.dims(), values));
  }
  rewriter.Replace(rewriter.Op("PRelu", {part.x, slope}));
}

bool IsMaxForm(const Graph& graph, const Node& node, size_t at) {
  const Node* mul = MadeBy(graph, node.inputs[at], "Mul");
  if (mul == nullptr || mul->inputs.size() != 2) return false;
  for (size_t i : {0, 1}) {
    const auto number = NumberOf(graph, mul->inputs[i]);
    if (number && *number > 0 && *number < 1 &&
        mul->inputs[1 - i] == node.inputs[1 - at]) {
      return true;
    }
  }
  return false;
}

bool FuseMax(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  for (size_t at : {0, 1}) {
    if (!IsMaxForm(graph, node, at)) continue;
    const Node* mul = MadeBy(graph, node.inputs[at], "Mul");
    const auto first = NumberOf(graph, mul->inputs[0]);
    Replace(graph, id,
            {node.inputs[1 - at], kNoValue,
             first ? *first : *NumberOf(graph, mul->inputs[1])});
    return true;
  }
  return false;
}

// relu(x) + part, or relu(x) - part.
bool FuseSum(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  for (size_t at : {0, 1}) {
    if (at == 1 && node.Is("Sub")) continue;
    const Node* relu = MadeBy(graph, node.inputs[at], "Relu");
    if (relu == nullptr) continue;
    auto part = NegativeOf(graph, node.inputs[1 - at]);
    if (!part || part->x != relu->inputs[0]) continue;
    if (node.Is("Sub")) part->number = -part->number;
    Replace(graph, id, *part);
    return true;
  }
  return false;
}

bool Fuse(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.inputs.size() != 2 ||
      graph.value(node.outputs[0]).dtype != DType::kFloat32) {
    return false;
  }
  if (node.Is("Max")) return FuseMax(graph, id);
  return (node.Is("Add") || node.Is("Sub")) && FuseSum(graph, id);
}

}  // namespace

absl::StatusOr<bool> FusePRelu::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (graph.HasNode(id)) changed |= Fuse(graph, id);
  }
  if (changed) CONDENSE_RETURN_IF_ERROR(DeadCode().Run(graph).status());
  return changed;
}

}  // namespace condense::graph
