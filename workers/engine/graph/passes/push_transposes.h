#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_PUSH_TRANSPOSES_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_PUSH_TRANSPOSES_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// TensorFlow keeps channels last, and exporters write a Transpose before and
// behind every convolution. This pass moves each Transpose to channels last
// down through what does not care about the layout (elementwise operators,
// Concat, Pad, reductions, Softmax, Slice, Split, Squeeze, quantizers of one
// scale) until it meets its inverse, a reduction that leaves nothing to
// transpose, or the Reshape before a dense layer, whose weight's rows are
// permuted instead. Constants are transposed with their operator. Inputs and
// outputs of the graph keep their layout. A graph in which that does not leave
// fewer Transposes stays as it is. Needs shapes.
class PushTransposes : public Pass {
 public:
  absl::string_view Name() const override { return "push_transposes"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_PUSH_TRANSPOSES_H_
