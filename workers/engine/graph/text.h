#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_TEXT_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_TEXT_H_

#include <string>

#include "workers/engine/graph/graph.h"

namespace condense::graph {

// A line per input, node and output, for tests and people:
//   input x: float32 [N, 3, 32, 32]
//   y: float32 [N, 16, 32, 32] = Conv(x, w: float32 [16, 3, 3, 3]) {pads=[1, 1,
//   1, 1]} output y
// Constants of up to 8 integers are written out.
std::string ToText(const Graph& graph);

// "[1, 2]", "3", "reflect": as ToText writes it.
std::string AttributeText(const Attribute& attribute);

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_TEXT_H_
