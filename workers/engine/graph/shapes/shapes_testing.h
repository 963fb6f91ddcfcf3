#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_SHAPES_SHAPES_TESTING_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_SHAPES_SHAPES_TESTING_H_

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/parse.h"

namespace condense::graph {

// Statements of the text form, and what the outputs of the last node are then:
// "float32 [N, 3]; int64 ?", or the error's reason.
struct ShapeCase {
  const char* statements;
  const char* types;
};

inline std::string InferredTypes(const std::string& statements) {
  // Any output: the text form wants none, and only the last node counts.
  auto graph = Parse(absl::StrCat("graph g opset 17 {\n", statements, "\n}"));
  if (!graph.ok()) return std::string(graph.status().message());
  const absl::Status status = InferShapes(*graph);
  if (!status.ok()) return ErrorReason(status);
  std::vector<std::string> types;
  for (ValueId id : graph->node(graph->order().back()).outputs) {
    if (id == kNoValue) continue;
    types.push_back(absl::StrCat(DTypeName(graph->value(id).dtype), " ",
                                 ShapeText(graph->value(id).shape)));
  }
  return absl::StrJoin(types, "; ");
}

// The cases share `before`: inputs and constants.
inline void ExpectTypes(const std::string& before,
                        const std::vector<ShapeCase>& cases) {
  for (const ShapeCase& c : cases) {
    EXPECT_EQ(InferredTypes(before + c.statements), c.types) << c.statements;
  }
}

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_SHAPES_SHAPES_TESTING_H_
