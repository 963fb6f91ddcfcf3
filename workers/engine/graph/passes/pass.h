#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_PASS_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_PASS_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "workers/engine/graph/graph.h"

namespace condense::graph {

// One rewrite of a graph that keeps what it computes. Stateless: a pass may run
// on many graphs at once.
class Pass {
 public:
  virtual ~Pass() = default;
  // As written in logs, e.g. "fold_batch_norm". Never reused.
  virtual absl::string_view Name() const = 0;
  // Rewrites in place; true if anything changed. On error drop the graph.
  virtual absl::StatusOr<bool> Run(Graph& graph) const = 0;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_PASS_H_
