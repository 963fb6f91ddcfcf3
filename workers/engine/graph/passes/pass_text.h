#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_PASS_TEXT_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_PASS_TEXT_H_

// Text in, text out: what tests of passes share.

#include <string>

#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/parse.h"
#include "workers/engine/graph/passes/pass.h"
#include "workers/engine/graph/text.h"
#include "workers/engine/graph/verify.h"

namespace condense::graph {

// A graph with the lines as its body, shapes inferred.
inline Graph Read(const std::string& lines) {
  auto graph = Parse("graph model opset 17 {\n" + lines + "\n}");
  EXPECT_TRUE(graph.ok()) << graph.status();
  if (!graph.ok()) return Graph();
  const absl::Status shapes = InferShapes(*graph);
  EXPECT_TRUE(shapes.ok()) << shapes;
  return *std::move(graph);
}

// The text form without the names of nodes, which passes choose freely.
inline std::string TextOf(const Graph& graph) {
  std::string text = ToText(graph);
  for (size_t at = text.find(" @ "); at != std::string::npos;
       at = text.find(" @ ")) {
    text.erase(at, text.find('\n', at) - at);
  }
  return text;
}

// The pass makes `after` of `before`, and nothing of that.
inline void ExpectRewrites(const Pass& pass, const std::string& before,
                           const std::string& after) {
  Graph graph = Read(before);
  const auto changed = pass.Run(graph);
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_TRUE(*changed);
  ASSERT_TRUE(InferShapes(graph).ok());
  EXPECT_TRUE(Verify(graph).ok()) << Verify(graph);
  const std::string wanted = TextOf(Read(after));
  EXPECT_EQ(TextOf(graph), wanted);
  const auto again = pass.Run(graph);
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(*again) << pass.Name() << " is not idempotent";
  EXPECT_EQ(TextOf(graph), wanted);
}

inline void ExpectStays(const Pass& pass, const std::string& lines) {
  Graph graph = Read(lines);
  const auto changed = pass.Run(graph);
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_FALSE(*changed) << ToText(graph);
  EXPECT_EQ(TextOf(graph), TextOf(Read(lines)));
}

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_PASS_TEXT_H_
