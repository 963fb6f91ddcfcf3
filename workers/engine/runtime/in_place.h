#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_IN_PLACE_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_IN_PLACE_H_

#include "workers/engine/graph/graph.h"

namespace condense::runtime {

// Whether the node's kernel can write its result over input 0 (Call::in_place).
bool WritesInPlace(const graph::Node& node);

// Whether the node's result may be written over: it is memory of its own, no
// view of an input, and the node's gradient does not read it.
bool LeavesItsResult(const graph::Node& node);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_IN_PLACE_H_
