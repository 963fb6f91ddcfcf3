#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_MERGE_PADS_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_MERGE_PADS_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// A Pad of zeros over places becomes the padding of the Conv that alone reads
// it, or of an AveragePool that counts padding and has none of its own; a Pad
// of -inf, or of zeros behind a Relu, that of a MaxPool without a padding of
// its own.
class MergePads : public Pass {
 public:
  absl::string_view Name() const override { return "merge_pads"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_MERGE_PADS_H_
