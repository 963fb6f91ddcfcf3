#include "workers/engine/graph/declared_types.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace condense::graph {
namespace {

constexpr absl::string_view kPrefix = "condense.dtype.";

}  // namespace

void DeclareType(Graph& graph, const std::string& name, DType dtype) {
  graph.metadata[absl::StrCat(kPrefix, name)] = std::string(DTypeName(dtype));
}

DType DeclaredType(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  const auto note = graph.metadata.find(absl::StrCat(kPrefix, value.name));
  if (note == graph.metadata.end() || !IsFloating(value.dtype)) {
    return value.dtype;
  }
  // Files may hold such notes of their own.
  const DType declared = DTypeFromName(note->second);
  return IsFloating(declared) ? declared : value.dtype;
}

void ForgetDeclaredTypes(Graph& graph) {
  for (auto it = graph.metadata.begin(); it != graph.metadata.end();) {
    it = absl::StartsWith(it->first, kPrefix) ? graph.metadata.erase(it)
                                              : std::next(it);
  }
}

}  // namespace condense::graph
