#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_INCREMENTAL_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_INCREMENTAL_H_

#include <torch/torch.h>

#include <vector>

#include "workers/engine/graph/graph.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {

// Incremental quantization (INQ, Zhou et al., arXiv:1702.03044): of each weight
// the share with the largest magnitudes is moved to its levels and stays there
// while the rest trains in float; then a larger share, until all is quantized.

// Moves weights of a graph with placed quantizers to the levels of their
// quantizers until this share of each weight is frozen; those frozen before
// stay as they are. Scales are those that the quantizers have, so that levels
// do not move between calls; schemes max_abs, power_of_two and log2. Which
// weights are frozen is kept in the quantizer's attribute "frozen" (uint8, of
// the weight's shape), until with share 1 it goes, and the scheme with it: the
// quantizer is then like any other, integers times a scale. The same share
// again changes nothing.
void FreezeShare(graph::Graph* graph, double share);

// `graph` without its quantizers of weights: what trains between two shares.
graph::Graph WithoutWeightQuantizers(const graph::Graph& graph);

// Keeps the frozen weights of a graph where they are while an executor trains
// it. Their gradients are 0 for the optimizer and for clipping; what momentum
// or weight decay moves all the same is put back by Hold. Not thread-safe.
class FrozenWeights {
 public:
  // `executor` runs WithoutWeightQuantizers(graph), whose constants have the
  // names of `graph`; it must outlive this.
  FrozenWeights(const graph::Graph& graph, runtime::Executor* executor);
  // Before each forward pass, and at the end.
  void Hold();

 private:
  struct Held {
    torch::Tensor weight;
    // Bool, and the values where it is true.
    torch::Tensor frozen;
    torch::Tensor values;
  };
  std::vector<Held> held_;
};

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_INCREMENTAL_H_
