#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_BODIES_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_BODIES_H_

#include <string>
#include <vector>

#include "workers/engine/graph/graph.h"

namespace condense::graph {

// A layer inside the body of If, Loop or Scan that could not be resolved
// (passes/inline_control_flow.h). It runs as it is and is not compressed.
struct InnerLayer {
  // "loop/conv": the names of the nodes around it and its own.
  std::string name;
  std::string op;
  // Of the constants that it reads.
  int64_t parameters = 0;
  int64_t bytes = 0;
  // Why it is frozen, for people.
  std::string reason;
};

// Convolutions, Gemm, MatMul with weights, and recurrent layers in the bodies
// of a graph's nodes, bodies in bodies included, in execution order.
std::vector<InnerLayer> InnerLayers(const Graph& graph);

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_BODIES_H_
