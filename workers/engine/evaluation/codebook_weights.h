#ifndef CONDENSE_WORKERS_ENGINE_EVALUATION_CODEBOOK_WEIGHTS_H_
#define CONDENSE_WORKERS_ENGINE_EVALUATION_CODEBOOK_WEIGHTS_H_

#include "absl/status/status.h"
#include "workers/engine/graph/graph.h"

namespace condense::evaluation {

// Turns weights that a file stores as codes into a table of integers (uint4
// DequantizeLinear, Cast, Gather or GatherElements, Reshape of constants, then
// the DequantizeLinear with the scales) into constants, as a runtime that loads
// the file once would. What it does not know it leaves as it is. It shares
// nothing with the code that stores them.
absl::Status DecodeCodebookWeights(graph::Graph* graph);

}  // namespace condense::evaluation

#endif  // CONDENSE_WORKERS_ENGINE_EVALUATION_CODEBOOK_WEIGHTS_H_
