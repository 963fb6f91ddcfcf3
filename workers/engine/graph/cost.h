#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_COST_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_COST_H_

#include <cstdint>
#include <vector>

#include "workers/engine/graph/graph.h"

namespace condense::graph {

// What one node, or a whole graph, costs for one sample.
struct Cost {
  // Multiply-accumulates of convolutions and matrix products in all their
  // forms (Einsum of two operands, recurrent layers, integer operators); as
  // usual in papers, other operators count nothing.
  int64_t macs = 0;
  // Elements of the floating or quantized constants it reads (weights, biases,
  // scales and shifts; not running statistics, as PyTorch counts).
  int64_t parameters = 0;
  // Bytes of those constants.
  int64_t parameter_bytes = 0;
  // Bytes of its outputs.
  int64_t activation_bytes = 0;

  Cost& operator+=(const Cost& other);
};

// Needs shapes; symbols count as 1. A constant that several nodes read counts
// once in the total, and for the first of them. If, Loop and Scan cost what
// their bodies cost, once for each turn if the number of turns is known, and of
// an If the branch with more multiply-accumulates.
Cost CostOf(const Graph& graph);
// Indexed by NodeId.
std::vector<Cost> CostPerNode(const Graph& graph);

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_COST_H_
