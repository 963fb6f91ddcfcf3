#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_SCALAR_VALUE_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_SCALAR_VALUE_H_

#include <cstdint>
#include <map>
#include <optional>

#include "workers/engine/graph/graph.h"

namespace condense::graph {

// The one element of integer and bool values that depend on constants and known
// shapes alone: through arithmetic, comparisons, logic and what only changes
// the shape. Keeps what it found, so that the values of a long chain should be
// asked for one after the other. Not thread-safe.
class ScalarValues {
 public:
  // `graph` must outlive it and may grow meanwhile.
  explicit ScalarValues(const Graph* graph) : graph_(*graph) {}

  // nullopt for everything else, and behind more than 64 new nodes.
  std::optional<int64_t> At(ValueId id);

 private:
  std::optional<int64_t> Find(ValueId id);
  std::optional<int64_t> Of(const Node& node);
  std::optional<int64_t> OfShape(const Node& node);

  const Graph& graph_;
  std::map<ValueId, int64_t> known_;
  int nodes_ = 0;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_SCALAR_VALUE_H_
