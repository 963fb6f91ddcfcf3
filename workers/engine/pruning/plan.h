#ifndef CONDENSE_WORKERS_ENGINE_PRUNING_PLAN_H_
#define CONDENSE_WORKERS_ENGINE_PRUNING_PLAN_H_

#include <cstdint>
#include <vector>

#include "workers/engine/graph/graph.h"
#include "workers/engine/pruning/coupling.h"

namespace condense::pruning {

enum class Budget { kMacs, kParameters };

struct PlanOptions {
  Budget budget = Budget::kMacs;
  // What may stay, in multiply-accumulates or parameters.
  double limit = 0;
  // Channel counts of a cluster stay a multiple of this.
  int64_t channel_multiple = 1;
  // Of each cluster, at least this share of its channels stays.
  double floor = 0.1;
};

struct Plan {
  // Indexed by channel of the coupling.
  std::vector<bool> removed;
  int64_t removed_channels = 0;
  // Of the graph after the cut.
  double macs = 0;
  double parameters = 0;
  // False: the floors do not let it; `removed` is then as much as they do.
  bool reached = false;
};

// Removes the channels of least score, over all clusters, until the limit
// holds; no more than needed. Same input, same answer. `graph` needs shapes.
Plan MakePlan(const graph::Graph& graph, const Coupling& coupling,
              const std::vector<double>& scores, const PlanOptions& options);

}  // namespace condense::pruning

#endif  // CONDENSE_WORKERS_ENGINE_PRUNING_PLAN_H_
