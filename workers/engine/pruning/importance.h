#ifndef CONDENSE_WORKERS_ENGINE_PRUNING_IMPORTANCE_H_
#define CONDENSE_WORKERS_ENGINE_PRUNING_IMPORTANCE_H_

#include <cstdint>
#include <vector>

#include "workers/engine/graph/graph.h"
#include "workers/engine/pruning/coupling.h"

namespace condense::pruning {

enum class Criterion {
  // Euclidean norm of the weights that make the channel (Li et al.,
  // arXiv:1608.08710, with L2 for L1), over all coupled layers.
  kL2,
  // Sum of their absolute values (ibid.).
  kL1,
  // Uniform in (0, 1), by the seed: what any criterion must beat.
  kRandom,
};

// One score per channel of `coupling`; the least goes first. Scores of a
// cluster are divided by their mean, so that layers of different scale compare.
// Only tensors with two axes or more count: biases and normalisation do not.
std::vector<double> ChannelImportance(const graph::Graph& graph,
                                      const Coupling& coupling,
                                      Criterion criterion, uint64_t seed);

}  // namespace condense::pruning

#endif  // CONDENSE_WORKERS_ENGINE_PRUNING_IMPORTANCE_H_
