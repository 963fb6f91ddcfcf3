#include "workers/engine/graph/text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/digest.h"

namespace condense::graph {
namespace {

constexpr int64_t kElementsWrittenOut = 16;
constexpr size_t kDigestLetters = 16;
// Of "sha256:".
constexpr size_t kPrefix = 7;

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::Utf8SafeCEscape(text), "\"");
}

bool IsWord(absl::string_view name) {
  for (absl::string_view word :
       {"_", "graph", "input", "output", "const", "doc", "metadata"}) {
    if (name == word) return true;
  }
  return false;
}

std::string NameText(absl::string_view name) {
  const bool plain = !name.empty() && !IsWord(name) && name.back() != ':' &&
                     std::all_of(name.begin(), name.end(), IsNameCharacter) &&
                     name.find(':') != 0;
  return plain ? std::string(name) : Quoted(name);
}

// Starts like a number, where numbers may stand too.
std::string SymbolText(const std::string& symbol) {
  const bool number =
      !symbol.empty() && (absl::ascii_isdigit(symbol[0]) || symbol[0] == '-');
  return number ? Quoted(symbol) : NameText(symbol);
}

std::string DimsText(const std::optional<Shape>& shape) {
  if (!shape.has_value()) return "?";
  std::vector<std::string> dims;
  for (const Dim& dim : *shape) {
    dims.push_back(dim.known()          ? absl::StrCat(dim.value)
                   : dim.symbol.empty() ? "?"
                                        : SymbolText(dim.symbol));
  }
  return absl::StrCat("[", absl::StrJoin(dims, ", "), "]");
}

// The shortest that reads back as the same number; never like an integer.
template <typename T>
std::string FloatText(T value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char text[40];
  for (int digits = 6; digits <= 17; ++digits) {
    std::snprintf(text, sizeof(text), "%.*g", digits,
                  static_cast<double>(value));
    if (static_cast<T>(std::strtod(text, nullptr)) == value) break;
  }
  std::string out = absl::StrReplaceAll(text, {{"e+", "e"}});
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

// Its elements can be written as numbers without loss.
bool HasLiterals(const Tensor& tensor) {
  if (tensor.dtype() == DType::kFloat32) {
    const auto values = tensor.data<float>();
    return std::none_of(values.begin(), values.end(),
                        [](float v) { return std::isnan(v); });
  }
  if (tensor.dtype() == DType::kFloat64) {
    const auto values = tensor.data<double>();
    return std::none_of(values.begin(), values.end(),
                        [](double v) { return std::isnan(v); });
  }
  return !IsFloating(tensor.dtype()) && tensor.dtype() != DType::kUndefined &&
         tensor.dtype() != DType::kUint64;
}

std::string Literals(const Tensor& tensor) {
  std::vector<std::string> texts;
  if (tensor.dtype() == DType::kString) {
    for (const std::string& s : tensor.strings()) texts.push_back(Quoted(s));
  } else if (tensor.dtype() == DType::kFloat32) {
    for (float v : tensor.data<float>()) texts.push_back(FloatText(v));
  } else if (tensor.dtype() == DType::kFloat64) {
    for (double v : tensor.data<double>()) texts.push_back(FloatText(v));
  } else {
    for (int64_t v : tensor.ToInts()) texts.push_back(absl::StrCat(v));
  }
  return absl::StrCat("{", absl::StrJoin(texts, ", "), "}");
}

std::string DataText(const Tensor& tensor, TextForm form) {
  const bool small = tensor.num_elements() <= kElementsWrittenOut;
  if (tensor.dtype() == DType::kString || (small && HasLiterals(tensor))) {
    return Literals(tensor);
  }
  if (form == TextForm::kElided && !small) {
    return absl::StrCat(
        "sha256 ",
        Quoted(DigestOf(tensor.bytes()).substr(kPrefix, kDigestLetters)));
  }
  return absl::StrCat("base64 ", Quoted(absl::Base64Escape(tensor.bytes())));
}

std::string TensorText(const Tensor& tensor, TextForm form) {
  return absl::StrCat(DTypeName(tensor.dtype()), " [",
                      absl::StrJoin(tensor.dims(), ", "),
                      "] = ", DataText(tensor, form));
}

std::string TypedName(const Value& value) {
  if (value.dtype == DType::kUndefined && !value.shape) {
    return NameText(value.name);
  }
  return absl::StrCat(NameText(value.name), ": ", DTypeName(value.dtype), " ",
                      DimsText(value.shape));
}

template <typename T, typename Text>
std::string ListText(const std::vector<T>& values, absl::string_view type,
                     Text text) {
  if (values.empty()) return absl::StrCat(type, "[]");
  std::vector<std::string> texts;
  for (const T& value : values) texts.push_back(text(value));
  return absl::StrCat("[", absl::StrJoin(texts, ", "), "]");
}

class Writer {
 public:
  explicit Writer(TextForm form) : form_(form) {}

  std::string GraphText(const Graph& graph, const std::string& indent) const {
    const std::string inner = indent + "  ";
    std::string text = absl::StrCat("graph ", NameText(graph.name), " opset ",
                                    graph.opset, " {\n");
    auto line = [&](auto... parts) {
      absl::StrAppend(&text, inner, parts..., "\n");
    };
    if (!graph.doc.empty()) line("doc ", Quoted(graph.doc));
    for (const auto& [key, value] : graph.metadata) {
      line("metadata ", NameText(key), " = ", Quoted(value));
    }
    for (ValueId id : graph.inputs()) {
      line("input ", TypedName(graph.value(id)));
    }
    std::vector<bool> written(graph.value_limit(), false);
    auto constant = [&](ValueId id) {
      if (!graph.IsConstant(id) || written[id]) return;
      written[id] = true;
      line("const ", NameText(graph.value(id).name), ": ",
           TensorText(*graph.ConstantOf(id), form_));
    };
    for (NodeId id : graph.order()) {
      for (ValueId input : graph.node(id).inputs) constant(input);
      line(NodeText(graph, graph.node(id), inner));
    }
    for (ValueId id : graph.outputs()) constant(id);
    for (ValueId id : graph.outputs()) {
      line("output ", NameText(graph.value(id).name));
    }
    absl::StrAppend(&text, indent, "}");
    return text;
  }

  std::string AttributeText(const Attribute& attribute,
                            const std::string& indent) const {
    struct Printer {
      std::string operator()(int64_t v) { return absl::StrCat(v); }
      std::string operator()(float v) { return FloatText(v); }
      std::string operator()(const std::string& v) { return Quoted(v); }
      std::string operator()(const Tensor& v) {
        return TensorText(v, writer.form_);
      }
      std::string operator()(const std::vector<int64_t>& v) {
        return absl::StrCat("[", absl::StrJoin(v, ", "), "]");
      }
      std::string operator()(const std::vector<float>& v) {
        return ListText(v, "floats", FloatText<float>);
      }
      std::string operator()(const std::vector<std::string>& v) {
        return ListText(v, "strings", Quoted);
      }
      std::string operator()(const std::shared_ptr<const Graph>& v) {
        return writer.GraphText(*v, indent);
      }
      const Writer& writer;
      const std::string& indent;
    };
    return std::visit(Printer{*this, indent}, attribute);
  }

 private:
  // "::" in a name without quotes ends a domain.
  static std::string OpName(const std::string& op) {
    return absl::StrContains(op, "::") ? Quoted(op) : NameText(op);
  }

  static std::string OperatorText(const Node& node) {
    if (node.domain.empty()) return OpName(node.op);
    const std::string domain = NameText(node.domain), op = OpName(node.op);
    const bool plain =
        domain[0] != '"' && op[0] != '"' && !absl::StrContains(domain, "::");
    return plain ? absl::StrCat(domain, "::", op)
                 : absl::StrCat(Quoted(node.domain), "::", Quoted(node.op));
  }

  std::string NodeText(const Graph& graph, const Node& node,
                       const std::string& indent) const {
    std::vector<std::string> outputs, inputs, attrs;
    for (ValueId id : node.outputs) {
      outputs.push_back(id == kNoValue ? "_" : TypedName(graph.value(id)));
    }
    for (ValueId id : node.inputs) {
      inputs.push_back(id == kNoValue ? "_" : NameText(graph.value(id).name));
    }
    for (const auto& [key, value] : node.attrs) {
      attrs.push_back(
          absl::StrCat(NameText(key), "=", AttributeText(value, indent)));
    }
    std::string text =
        absl::StrCat(absl::StrJoin(outputs, ", "), " = ", OperatorText(node),
                     "(", absl::StrJoin(inputs, ", "), ")");
    if (!attrs.empty()) {
      absl::StrAppend(&text, " {", absl::StrJoin(attrs, ", "), "}");
    }
    const ValueId first = node.outputs.empty() ? kNoValue : node.outputs[0];
    if (first == kNoValue || graph.value(first).name != node.name) {
      absl::StrAppend(&text, " @ ", NameText(node.name));
    }
    return text;
  }

  const TextForm form_;
};

}  // namespace

bool IsNameCharacter(char c) {
  return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '/' ||
         c == ':' || c == '-' || c == '$' || c == '%';
}

std::string AttributeText(const Attribute& attribute) {
  return Writer(TextForm::kComplete).AttributeText(attribute, "");
}

std::string ToText(const Graph& graph, TextForm form) {
  return Writer(form).GraphText(graph, "") + "\n";
}

}  // namespace condense::graph
