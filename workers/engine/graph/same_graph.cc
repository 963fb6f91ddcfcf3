#include "workers/engine/graph/same_graph.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace condense::graph {
namespace {

template <typename T>
std::string Differs(const std::string& what, const T& a, const T& b) {
  return absl::StrCat(what, ": ", a, " and ", b);
}

bool SameNumber(float a, float b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

std::string AttributeDifference(const Attribute& a, const Attribute& b) {
  if (a.index() != b.index()) return "is of different kinds";
  if (const auto* body = std::get_if<std::shared_ptr<const Graph>>(&a)) {
    return Difference(**body, *std::get<std::shared_ptr<const Graph>>(b));
  }
  if (const auto* x = std::get_if<float>(&a)) {
    return SameNumber(*x, std::get<float>(b)) ? "" : "differs";
  }
  if (const auto* x = std::get_if<std::vector<float>>(&a)) {
    const auto& y = std::get<std::vector<float>>(b);
    return std::equal(x->begin(), x->end(), y.begin(), y.end(), SameNumber)
               ? ""
               : "differs";
  }
  return a == b ? "" : "differs";
}

class Comparison {
 public:
  Comparison(const Graph& a, const Graph& b) : a_(a), b_(b) {}

  std::string Run() const {
    std::string found = About();
    if (found.empty()) found = Values("input", a_.inputs(), b_.inputs());
    if (found.empty() && a_.order().size() != b_.order().size()) {
      found = Differs("number of nodes", a_.order().size(), b_.order().size());
    }
    for (size_t i = 0; found.empty() && i < a_.order().size(); ++i) {
      found = Nodes(a_.node(a_.order()[i]), b_.node(b_.order()[i]));
    }
    if (found.empty()) found = Values("output", a_.outputs(), b_.outputs());
    return found;
  }

 private:
  std::string About() const {
    if (a_.name != b_.name) return Differs("name", a_.name, b_.name);
    if (a_.opset != b_.opset) return Differs("opset", a_.opset, b_.opset);
    if (a_.doc != b_.doc) return Differs("doc", a_.doc, b_.doc);
    return a_.metadata == b_.metadata ? "" : "metadata differ";
  }

  std::string Values(const std::string& what, const std::vector<ValueId>& a,
                     const std::vector<ValueId>& b) const {
    if (a.size() != b.size()) {
      return Differs(absl::StrCat("number of ", what, "s"), a.size(), b.size());
    }
    for (size_t i = 0; i < a.size(); ++i) {
      const std::string found = OneValue(a[i], b[i]);
      if (!found.empty()) return absl::StrCat(what, " ", i, ": ", found);
    }
    return "";
  }

  std::string OneValue(ValueId a, ValueId b) const {
    if ((a == kNoValue) != (b == kNoValue)) return "only one is omitted";
    if (a == kNoValue) return "";
    const Value& x = a_.value(a);
    const Value& y = b_.value(b);
    if (x.name != y.name) return Differs("name", x.name, y.name);
    if (x.dtype != y.dtype) {
      return Differs(absl::StrCat("type of '", x.name, "'"), DTypeName(x.dtype),
                     DTypeName(y.dtype));
    }
    if (x.shape != y.shape) {
      return Differs(absl::StrCat("shape of '", x.name, "'"),
                     ShapeText(x.shape), ShapeText(y.shape));
    }
    return x.constant == y.constant
               ? ""
               : absl::StrCat("elements of '", x.name, "' differ");
  }

  std::string Nodes(const Node& a, const Node& b) const {
    std::string found;
    if (a.name != b.name) return Differs("name of a node", a.name, b.name);
    if (a.domain != b.domain || a.op != b.op) {
      found = Differs("operator", absl::StrCat(a.domain, "::", a.op),
                      absl::StrCat(b.domain, "::", b.op));
    }
    if (found.empty()) found = Values("input", a.inputs, b.inputs);
    if (found.empty()) found = Values("output", a.outputs, b.outputs);
    if (found.empty()) found = Attributes(a, b);
    return found.empty() ? "" : absl::StrCat("node '", a.name, "': ", found);
  }

  static std::string Attributes(const Node& a, const Node& b) {
    for (const auto& [key, value] : b.attrs) {
      if (!a.Has(key)) return absl::StrCat("only one has '", key, "'");
    }
    for (const auto& [key, value] : a.attrs) {
      if (!b.Has(key)) return absl::StrCat("only one has '", key, "'");
      const std::string found = AttributeDifference(value, b.attrs.at(key));
      if (!found.empty()) return absl::StrCat("'", key, "': ", found);
    }
    return "";
  }

  const Graph& a_;
  const Graph& b_;
};

}  // namespace

std::string Difference(const Graph& a, const Graph& b) {
  return Comparison(a, b).Run();
}

}  // namespace condense::graph
