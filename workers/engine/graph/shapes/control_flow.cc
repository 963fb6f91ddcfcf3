// If, Loop and Scan: the bodies are inferred from what the node gives them.

#include <algorithm>
#include <memory>

#include "common/status_macros.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/shapes/rules.h"

namespace condense::graph {
namespace {

struct Type {
  DType dtype = DType::kUndefined;
  MaybeShape shape;
};

Type TypeOf(const Graph& graph, ValueId id) {
  if (id == kNoValue) return {};
  return {graph.value(id).dtype, graph.value(id).shape};
}

// A copy of the body with these input types, inferred; the node gets it.
absl::StatusOr<std::vector<Type>> InferBody(const Context& c, const char* key,
                                            const std::vector<Type>& inputs) {
  auto it = c.node.attrs.find(key);
  const auto* body =
      it == c.node.attrs.end()
          ? nullptr
          : std::get_if<std::shared_ptr<const Graph>>(&it->second);
  if (body == nullptr) return c.Mismatch("a body is missing");
  auto copy = std::make_shared<Graph>(**body);
  if (copy->inputs().size() != inputs.size()) {
    return c.Mismatch("the body takes another number of values");
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    Value& value = copy->mutable_value(copy->inputs()[i]);
    if (inputs[i].dtype != DType::kUndefined) value.dtype = inputs[i].dtype;
    if (inputs[i].shape) value.shape = inputs[i].shape;
  }
  CONDENSE_RETURN_IF_ERROR(InferShapes(*copy));
  std::vector<Type> outputs;
  for (ValueId id : copy->outputs()) outputs.push_back(TypeOf(*copy, id));
  c.graph.mutable_node(c.node.id).attrs[key] =
      std::shared_ptr<const Graph>(std::move(copy));
  return outputs;
}

// What both may be: a dimension that differs is unknown.
MaybeShape Join(const MaybeShape& a, const MaybeShape& b) {
  if (!a || !b || a->size() != b->size()) return std::nullopt;
  Shape out = *a;
  for (size_t i = 0; i < out.size(); ++i) {
    if (!(out[i] == (*b)[i])) out[i] = Dim();
  }
  return out;
}

absl::Status If(const Context& c) {
  std::vector<Type> captures;
  for (size_t i = 1; i < c.node.inputs.size(); ++i) {
    captures.push_back(TypeOf(c.graph, c.node.inputs[i]));
  }
  CONDENSE_ASSIGN_OR_RETURN(const auto yes,
                            InferBody(c, "then_branch", captures));
  CONDENSE_ASSIGN_OR_RETURN(const auto no,
                            InferBody(c, "else_branch", captures));
  if (yes.size() != no.size() || yes.size() < c.node.outputs.size()) {
    return c.Mismatch("the branches have different outputs");
  }
  for (size_t i = 0; i < c.node.outputs.size(); ++i) {
    c.Set(i, yes[i].dtype, Join(yes[i].shape, no[i].shape));
  }
  return absl::OkStatus();
}

absl::Status Loop(const Context& c) {
  const size_t captures = c.node.Int("captures", 0);
  if (c.node.inputs.size() < 2 + captures) return c.Mismatch("inputs");
  const size_t states = c.node.inputs.size() - 2 - captures;
  std::vector<Type> inputs = {{DType::kInt64, Shape()},
                              {DType::kBool, Shape()}};
  for (size_t i = 2; i < c.node.inputs.size(); ++i) {
    Type type = TypeOf(c.graph, c.node.inputs[i]);
    // A state may change its shape from turn to turn.
    if (i < 2 + states) type.shape.reset();
    inputs.push_back(type);
  }
  CONDENSE_ASSIGN_OR_RETURN(const auto outputs, InferBody(c, "body", inputs));
  for (size_t i = 0; i < c.node.outputs.size(); ++i) {
    if (i + 1 >= outputs.size()) return c.Mismatch("outputs of the body");
    MaybeShape shape = outputs[i + 1].shape;
    if (i >= states && shape) shape->insert(shape->begin(), Dim());
    c.Set(i, outputs[i + 1].dtype, shape);
  }
  return absl::OkStatus();
}

absl::Status Scan(const Context& c) {
  const size_t captures = c.node.Int("captures", 0);
  const size_t scanned = c.node.Int("num_scan_inputs", 1);
  if (c.node.inputs.size() < scanned + captures) return c.Mismatch("inputs");
  const size_t states = c.node.inputs.size() - scanned - captures;
  std::vector<int64_t> axes = c.node.Ints("scan_input_axes");
  axes.resize(scanned, 0);
  std::vector<Type> inputs;
  for (size_t i = 0; i < c.node.inputs.size(); ++i) {
    Type type = TypeOf(c.graph, c.node.inputs[i]);
    if (i >= states && i < states + scanned && type.shape) {
      CONDENSE_ASSIGN_OR_RETURN(size_t at,
                                Axis(c, axes[i - states], type.shape->size()));
      type.shape->erase(type.shape->begin() + at);
    }
    inputs.push_back(type);
  }
  CONDENSE_ASSIGN_OR_RETURN(const auto outputs, InferBody(c, "body", inputs));
  for (size_t i = 0; i < c.node.outputs.size() && i < outputs.size(); ++i) {
    c.Set(i, outputs[i].dtype, i < states ? outputs[i].shape : std::nullopt);
  }
  return absl::OkStatus();
}

}  // namespace

void AddControlFlowRules(RuleTable* table) {
  (*table)["If"] = If;
  (*table)["Loop"] = Loop;
  (*table)["Scan"] = Scan;
}

}  // namespace condense::graph
