#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FOLD_BATCH_NORM_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FOLD_BATCH_NORM_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// Folds BatchNormalization, and the Mul, Add, Sub and Div by constants per
// channel that it was decomposed into, into the layer beside it: a Conv or
// ConvTranspose of any group, a Gemm, or a MatMul with the Add of its bias.
//   Into the layer before, when nothing else reads that one's output:
//     w' = w * g / sqrt(v + e) per output channel,
//     b' = (b - m) * g / sqrt(v + e) + beta.
//   Else into the layer behind, when nothing else reads the normalisation and
//   no zeros are padded between: w' = w * f per input channel, b' = b + w s.
// Reshape, Flatten, Squeeze, Unsqueeze and Transpose may stand between. Weights
// that several layers share stay. Needs shapes.
class FoldBatchNorm : public Pass {
 public:
  absl::string_view Name() const override { return "fold_batch_norm"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FOLD_BATCH_NORM_H_
