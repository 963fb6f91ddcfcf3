#include "workers/engine/graph/scalar_value.h"

#include <algorithm>

namespace condense::graph {
namespace {

constexpr int kNodesMax = 64;

bool IsExact(DType dtype) {
  return dtype != DType::kUndefined && dtype != DType::kString &&
         !IsFloating(dtype);
}

std::optional<int64_t> Binary(const Node& node, int64_t a, int64_t b) {
  if (node.op == "And") return (a != 0) && (b != 0);
  if (node.op == "Or") return (a != 0) || (b != 0);
  if (node.op == "Xor") return (a != 0) != (b != 0);
  if (node.op == "Equal") return a == b;
  if (node.op == "Less") return a < b;
  if (node.op == "LessOrEqual") return a <= b;
  if (node.op == "Greater") return a > b;
  if (node.op == "GreaterOrEqual") return a >= b;
  if (node.op == "Min") return std::min(a, b);
  if (node.op == "Max") return std::max(a, b);
  int64_t result = 0;
  const bool overflows =
      node.op == "Add"   ? __builtin_add_overflow(a, b, &result)
      : node.op == "Sub" ? __builtin_sub_overflow(a, b, &result)
      : node.op == "Mul" ? __builtin_mul_overflow(a, b, &result)
                         : true;
  return overflows ? std::nullopt : std::optional(result);
}

}  // namespace

std::optional<int64_t> ScalarValues::At(ValueId id) {
  nodes_ = 0;
  return Find(id);
}

std::optional<int64_t> ScalarValues::Find(ValueId id) {
  if (id == kNoValue) return std::nullopt;
  if (auto it = known_.find(id); it != known_.end()) return it->second;
  const Value& value = graph_.value(id);
  if (value.constant) {
    const bool scalar =
        IsExact(value.dtype) && value.constant->num_elements() == 1;
    return scalar ? std::optional(value.constant->ToInts()[0]) : std::nullopt;
  }
  if (value.producer == kNoNode || ++nodes_ > kNodesMax) return std::nullopt;
  const auto found = Of(graph_.node(value.producer));
  if (found) known_[id] = *found;
  return found;
}

std::optional<int64_t> ScalarValues::Of(const Node& node) {
  if (!node.domain.empty() || node.inputs.empty()) return std::nullopt;
  if (node.op == "Cast") {
    const DType to = DTypeFromName(node.String("to", ""));
    const auto x = Find(node.input(0));
    if (!x || !IsExact(to)) return std::nullopt;
    return to == DType::kBool ? std::optional<int64_t>(*x != 0) : x;
  }
  if (node.op == "Identity" || node.op == "Squeeze" || node.op == "Unsqueeze" ||
      node.op == "Reshape") {
    return Find(node.input(0));
  }
  if (node.op == "Not") {
    const auto x = Find(node.input(0));
    return x ? std::optional<int64_t>(*x == 0) : std::nullopt;
  }
  if (node.op == "Gather" || node.op == "Shape" || node.op == "Size") {
    return OfShape(node);
  }
  if (node.inputs.size() != 2) return std::nullopt;
  const auto a = Find(node.inputs[0]);
  const auto b = a ? Find(node.inputs[1]) : std::nullopt;
  return b ? Binary(node, *a, *b) : std::nullopt;
}

// Size(x), Shape of a vector, or Gather(Shape(x), i).
std::optional<int64_t> ScalarValues::OfShape(const Node& node) {
  const bool gathers = node.op == "Gather";
  std::optional<int64_t> index;
  const Node* source = &node;
  if (gathers) {
    const ValueId shape = node.inputs[0];
    const NodeId producer =
        shape == kNoValue ? kNoNode : graph_.value(shape).producer;
    if (producer == kNoNode) return std::nullopt;
    source = &graph_.node(producer);
    if (!source->Is("Shape") || source->Has("start") || source->Has("end")) {
      return std::nullopt;
    }
    index = Find(node.input(1));
    if (!index) return std::nullopt;
  }
  const ValueId x = source->input(0);
  const auto& shape = x == kNoValue ? std::nullopt : graph_.value(x).shape;
  if (!shape) return std::nullopt;
  const auto rank = static_cast<int64_t>(shape->size());
  if (node.op == "Size") {
    const auto dims = KnownDims(*shape);
    if (!dims) return std::nullopt;
    int64_t count = 1;
    for (int64_t dim : *dims) {
      if (__builtin_mul_overflow(count, dim, &count)) return std::nullopt;
    }
    return count;
  }
  if (!gathers && rank != 1) return std::nullopt;
  int64_t at = index.value_or(0);
  if (at < 0) at += rank;
  if (at < 0 || at >= rank || !(*shape)[at].known()) return std::nullopt;
  return (*shape)[at].value;
}

}  // namespace condense::graph
