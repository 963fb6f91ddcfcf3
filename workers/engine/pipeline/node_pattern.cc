#include "workers/engine/pipeline/node_pattern.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/recipe/pattern.h"
#include "common/status_macros.h"

namespace condense::pipeline {

absl::StatusOr<std::set<std::string>> MatchingNodes(
    const recipe::ParsedRecipe& parsed, const std::string& path,
    const std::string& text, const graph::Graph& graph) {
  CONDENSE_ASSIGN_OR_RETURN(recipe::Pattern pattern,
                            recipe::Pattern::Compile(text));
  std::set<std::string> names;
  std::vector<std::string> all;
  for (graph::NodeId id : graph.order()) {
    const std::string& name = graph.node(id).name;
    all.push_back(name);
    if (pattern.Matches(name)) names.insert(name);
  }
  if (names.empty()) {
    return recipe::ErrorAt(
        parsed, path, absl::StatusCode::kInvalidArgument,
        "PATTERN_WITHOUT_MATCH",
        absl::StrCat("no node of the model matches '", text, "'"),
        {.nearest = NearestName(text, all),
         .hint = "condense analyze lists the nodes by name"});
  }
  return names;
}

}  // namespace condense::pipeline
