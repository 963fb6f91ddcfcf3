#include "workers/engine/graph/text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace condense::graph {
namespace {

std::string TypeText(const Value& value) {
  return absl::StrCat(DTypeName(value.dtype), " ", ShapeText(value.shape));
}

std::string OperandText(const Graph& graph, ValueId id) {
  if (id == kNoValue) return "_";
  const Value& value = graph.value(id);
  if (!value.constant.has_value()) return value.name;
  const Tensor& tensor = *value.constant;
  const bool small = tensor.num_elements() <= 8 &&
                     !IsFloating(tensor.dtype()) &&
                     tensor.dtype() != DType::kString;
  if (small)
    return absl::StrCat("[", absl::StrJoin(tensor.ToInts(), ", "), "]");
  return absl::StrCat(value.name, ": ", TypeText(value));
}

}  // namespace

std::string AttributeText(const Attribute& attribute) {
  struct Printer {
    std::string operator()(int64_t v) { return absl::StrCat(v); }
    std::string operator()(float v) { return absl::StrCat(v); }
    std::string operator()(const std::string& v) { return v; }
    std::string operator()(const Tensor& v) {
      return absl::StrCat("tensor ", DTypeName(v.dtype()));
    }
    std::string operator()(const std::vector<int64_t>& v) {
      return absl::StrCat("[", absl::StrJoin(v, ", "), "]");
    }
    std::string operator()(const std::vector<float>& v) {
      return absl::StrCat("[", absl::StrJoin(v, ", "), "]");
    }
    std::string operator()(const std::vector<std::string>& v) {
      return absl::StrCat("[", absl::StrJoin(v, ", "), "]");
    }
    std::string operator()(const std::shared_ptr<const Graph>&) {
      return "graph";
    }
  };
  return std::visit(Printer(), attribute);
}

std::string ToText(const Graph& graph) {
  std::string text;
  for (ValueId id : graph.inputs()) {
    absl::StrAppend(&text, "input ", graph.value(id).name, ": ",
                    TypeText(graph.value(id)), "\n");
  }
  for (NodeId node_id : graph.order()) {
    const Node& node = graph.node(node_id);
    std::vector<std::string> outputs, inputs, attrs;
    for (ValueId id : node.outputs) {
      outputs.push_back(id == kNoValue
                            ? "_"
                            : absl::StrCat(graph.value(id).name, ": ",
                                           TypeText(graph.value(id))));
    }
    for (ValueId id : node.inputs) inputs.push_back(OperandText(graph, id));
    for (const auto& [key, value] : node.attrs) {
      attrs.push_back(absl::StrCat(key, "=", AttributeText(value)));
    }
    absl::StrAppend(&text, absl::StrJoin(outputs, ", "), " = ",
                    node.domain.empty() ? "" : node.domain + "::", node.op, "(",
                    absl::StrJoin(inputs, ", "), ")");
    if (!attrs.empty()) {
      absl::StrAppend(&text, " {", absl::StrJoin(attrs, ", "), "}");
    }
    text += "\n";
  }
  for (ValueId id : graph.outputs()) {
    absl::StrAppend(&text, "output ", OperandText(graph, id), "\n");
  }
  return text;
}

}  // namespace condense::graph
