#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_NODE_PATTERN_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_NODE_PATTERN_H_

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "common/recipe/recipe.h"
#include "workers/engine/graph/graph.h"

namespace condense::pipeline {

// Names of the graph's nodes that the pattern `text`, written at `path` of the
// recipe, matches. INVALID_ARGUMENT with reason PATTERN_WITHOUT_MATCH,
// line:column and the nearest name where it matches none.
absl::StatusOr<std::set<std::string>> MatchingNodes(
    const recipe::ParsedRecipe& parsed, const std::string& path,
    const std::string& text, const graph::Graph& graph);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_NODE_PATTERN_H_
