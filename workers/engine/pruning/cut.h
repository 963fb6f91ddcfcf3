#ifndef CONDENSE_WORKERS_ENGINE_PRUNING_CUT_H_
#define CONDENSE_WORKERS_ENGINE_PRUNING_CUT_H_

#include <vector>

#include "absl/status/status.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/pruning/coupling.h"

namespace condense::pruning {

// `removed` is indexed by channel of `coupling`, which was found in `graph`.

// Sets to zero every weight that reads a removed channel: the function that is
// left once they are gone, at the old size.
void MaskChannels(const Coupling& coupling, const std::vector<bool>& removed,
                  graph::Graph* graph);

// Takes the channels out of every constant, group counts, Pad amounts and
// Reshape constants, and infers shapes anew. Computes the same as the masked
// graph. Needs the coupling found again before the next cut.
absl::Status CutChannels(const Coupling& coupling,
                         const std::vector<bool>& removed, graph::Graph* graph);

}  // namespace condense::pruning

#endif  // CONDENSE_WORKERS_ENGINE_PRUNING_CUT_H_
