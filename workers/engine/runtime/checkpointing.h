#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_CHECKPOINTING_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_CHECKPOINTING_H_

#include <vector>

#include "workers/engine/graph/graph.h"

namespace condense::runtime {

// Where the graph is cut so that keeping only what crosses the cuts, and
// computing one segment at a time again, needs the least memory (Chen et al.,
// arXiv:1604.06174, algorithm 3: a budget per segment, searched for): about
// sqrt(n) segments of a chain of n equal layers. Positions in the order of
// nodes where a segment begins, ascending, the first 0. Bytes are those of the
// inferred shapes, for a batch of one; values of unknown shape count as equal.
std::vector<int> PlanCuts(const graph::Graph& graph);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_CHECKPOINTING_H_
