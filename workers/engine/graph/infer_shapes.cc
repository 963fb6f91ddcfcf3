#include "workers/engine/graph/infer_shapes.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "workers/engine/graph/arity.h"
#include "workers/engine/graph/shapes/rules.h"

namespace condense::graph {

absl::StatusOr<Shape> Broadcast(const Context& c, const Shape& a,
                                const Shape& b) {
  Shape out(std::max(a.size(), b.size()));
  for (size_t i = 0; i < out.size(); ++i) {
    const Dim one(1);
    const Dim& x = i < a.size() ? a[a.size() - 1 - i] : one;
    const Dim& y = i < b.size() ? b[b.size() - 1 - i] : one;
    Dim& z = out[out.size() - 1 - i];
    if (x == y || y == one) {
      z = x;
    } else if (x == one) {
      z = y;
    } else if (x.known() && y.known()) {
      return c.Mismatch("shapes do not broadcast");
    } else {
      z = x.known() ? x : y;
    }
  }
  return out;
}

absl::Status SameAsInput(const Context& c) {
  c.Set(0, c.DTypeAt(0), c.ShapeOf(0));
  return absl::OkStatus();
}

absl::StatusOr<size_t> Axis(const Context& c, int64_t axis, size_t rank) {
  if (axis < 0) axis += static_cast<int64_t>(rank);
  if (axis < 0 || axis >= static_cast<int64_t>(rank)) {
    return c.Mismatch("the axis lies outside of the shape");
  }
  return static_cast<size_t>(axis);
}

namespace {

const RuleTable& Rules() {
  static const auto& rules = *[] {
    auto* table = new RuleTable();
    AddElementwiseRules(table);
    AddLinearRules(table);
    AddLayoutRules(table);
    AddReductionRules(table);
    AddIndexingRules(table);
    AddSequenceRules(table);
    AddControlFlowRules(table);
    return table;
  }();
  return rules;
}

}  // namespace

bool IsKnown(const Node& node) {
  return node.IsFakeQuantize() ||
         (node.domain.empty() && Rules().count(node.op) > 0);
}

std::vector<std::string> OperatorsWithShapes() {
  std::vector<std::string> names;
  for (const auto& [op, rule] : Rules()) names.push_back(op);
  names.push_back("condense::FakeQuantize");
  return names;
}

namespace {

// Far beyond what memory holds, and so small that the rules can multiply it
// with an attribute.
constexpr int64_t kSizeMax = int64_t{1} << 31;
constexpr int64_t kWindowMax = int64_t{1} << 30;

absl::Status CheckSizes(const Context& context,
                        const std::vector<ValueId>& values) {
  for (ValueId id : values) {
    if (id == kNoValue || !context.graph.value(id).shape) continue;
    for (const Dim& dim : *context.graph.value(id).shape) {
      if (dim.known() && dim.value > kSizeMax) {
        return context.Mismatch(
            absl::StrCat("'", context.graph.value(id).name,
                         "' has a dimension larger than 2^31"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckWindow(const Context& context) {
  for (const char* key : {"kernel_shape", "strides", "dilations", "pads",
                          "output_padding", "output_shape", "group"}) {
    auto it = context.node.attrs.find(key);
    if (it == context.node.attrs.end()) continue;
    const auto* one = std::get_if<int64_t>(&it->second);
    const auto* list = std::get_if<std::vector<int64_t>>(&it->second);
    const absl::Span<const int64_t> values =
        one != nullptr    ? absl::MakeConstSpan(one, 1)
        : list != nullptr ? absl::MakeConstSpan(*list)
                          : absl::Span<const int64_t>();
    for (int64_t value : values) {
      if (value < -kWindowMax || value > kWindowMax) {
        return context.Mismatch(
            absl::StrCat("attribute '", key, "' is out of range"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status InferNode(Graph& graph, NodeId id) {
  const Context context{graph, graph.node(id)};
  if (context.node.IsFakeQuantize()) {
    CONDENSE_RETURN_IF_ERROR(CheckArity(context.node));
    return SameAsInput(context);
  }
  auto rule = Rules().find(context.node.op);
  if (rule == Rules().end() || !context.node.domain.empty()) {
    return absl::OkStatus();
  }
  CONDENSE_RETURN_IF_ERROR(CheckArity(context.node));
  // Most operators keep the type of their first input, also where the shape is
  // not known and the rule gives up.
  if (context.node.outputs[0] != kNoValue &&
      graph.value(context.node.outputs[0]).dtype == DType::kUndefined) {
    context.Set(0, context.DTypeAt(0), std::nullopt);
  }
  CONDENSE_RETURN_IF_ERROR(CheckSizes(context, context.node.inputs));
  CONDENSE_RETURN_IF_ERROR(CheckWindow(context));
  CONDENSE_RETURN_IF_ERROR(rule->second(context));
  return CheckSizes(context, context.node.outputs);
}

absl::Status InferShapes(Graph& graph) {
  for (NodeId id : graph.order()) {
    CONDENSE_RETURN_IF_ERROR(InferNode(graph, id));
  }
  return absl::OkStatus();
}

}  // namespace condense::graph
