#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_SAME_GRAPH_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_SAME_GRAPH_H_

#include <string>

#include "workers/engine/graph/graph.h"

namespace condense::graph {

// Empty if both graphs are the same: names, types and order of inputs, outputs
// and nodes, attributes with their tensors and subgraphs, constants byte by
// byte, opset, doc and metadata. Ids, and values that nothing refers to, do not
// count. Otherwise the first difference as a sentence.
std::string Difference(const Graph& a, const Graph& b);

inline bool SameGraph(const Graph& a, const Graph& b) {
  return Difference(a, b).empty();
}

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_SAME_GRAPH_H_
