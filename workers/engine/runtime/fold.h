#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_FOLD_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_FOLD_H_

#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"

namespace condense::runtime {

// Evaluates nodes whose inputs are all constants by their kernels: masks,
// position tables, scales. True if there were any. Results of more than 16 MiB
// that grow from smaller inputs, quantizers, and nodes that fail are left.
absl::StatusOr<bool> FoldNodes(graph::Graph* graph);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_FOLD_H_
