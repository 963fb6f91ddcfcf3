#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FOLD_BATCH_NORM_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FOLD_BATCH_NORM_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// Folds BatchNormalization into the Conv, ConvTranspose or Gemm before it, when
// nothing else reads that one's output: w' = w * g / sqrt(v + e) per output
// channel, b' = (b - m) * g / sqrt(v + e) + beta.
class FoldBatchNorm : public Pass {
 public:
  absl::string_view Name() const override { return "fold_batch_norm"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FOLD_BATCH_NORM_H_
