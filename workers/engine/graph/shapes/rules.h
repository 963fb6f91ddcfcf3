#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_SHAPES_RULES_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_SHAPES_RULES_H_

// The rules behind infer_shapes.h, one file per family of operators.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "workers/engine/graph/graph.h"

namespace condense::graph {

using MaybeShape = std::optional<Shape>;

// One node with what is known of its inputs.
struct Context {
  Graph& graph;
  const Node& node;

  MaybeShape ShapeOf(size_t i) const {
    const ValueId id = node.input(i);
    return id == kNoValue ? std::nullopt : graph.value(id).shape;
  }
  DType DTypeAt(size_t i) const {
    const ValueId id = node.input(i);
    return id == kNoValue ? DType::kUndefined : graph.value(id).dtype;
  }
  // A constant integer input, or nullopt.
  std::optional<std::vector<int64_t>> IntsAt(size_t i) const {
    const Tensor* tensor = graph.ConstantOf(node.input(i));
    if (tensor == nullptr || IsFloating(tensor->dtype()) ||
        tensor->dtype() == DType::kString) {
      return std::nullopt;
    }
    return tensor->ToInts();
  }
  absl::Status Mismatch(const std::string& why) const {
    std::string shapes;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      absl::StrAppend(&shapes, i ? ", " : "", ShapeText(ShapeOf(i)));
    }
    return MakeError(absl::StatusCode::kInvalidArgument, "SHAPE_MISMATCH",
                     absl::StrCat(node.op, ": ", why, " (inputs ", shapes, ")"),
                     {.node = node.name});
  }
  void Set(size_t i, DType dtype, MaybeShape shape) const {
    if (i >= node.outputs.size() || node.outputs[i] == kNoValue) return;
    Value& value = graph.mutable_value(node.outputs[i]);
    if (dtype != DType::kUndefined) value.dtype = dtype;
    if (shape.has_value()) value.shape = std::move(shape);
  }
};

// Sets dtype and shape of the outputs of one node.
using Rule = std::function<absl::Status(const Context&)>;

using RuleTable = std::map<std::string, Rule>;

void AddElementwiseRules(RuleTable* table);
void AddLinearRules(RuleTable* table);
void AddLayoutRules(RuleTable* table);
void AddReductionRules(RuleTable* table);
void AddIndexingRules(RuleTable* table);
void AddSequenceRules(RuleTable* table);
void AddControlFlowRules(RuleTable* table);

// The first output is as the first input.
absl::Status SameAsInput(const Context& c);
// ONNX's multidirectional broadcasting.
absl::StatusOr<Shape> Broadcast(const Context& c, const Shape& a,
                                const Shape& b);
// A negative axis counts from the end; SHAPE_MISMATCH outside of the rank.
absl::StatusOr<size_t> Axis(const Context& c, int64_t axis, size_t rank);

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_SHAPES_RULES_H_
