#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PARSE_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PARSE_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "workers/engine/graph/graph.h"

namespace condense::graph {

// The graph that ToText (text.h) wrote, or one written by hand in that form.
// Only the form is checked, so a node may read what a later one makes: Verify
// says whether the graph is sound. INVALID_ARGUMENT with reason BAD_TEXT, line
// and column: a syntax error, an unknown type, a name given twice or never, or
// values that do not fill the shape of their tensor.
absl::StatusOr<Graph> Parse(absl::string_view text);

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PARSE_H_
