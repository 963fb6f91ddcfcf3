#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_LIVE_BATCH_NORM_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_LIVE_BATCH_NORM_H_

#include "absl/status/status.h"
#include "workers/engine/graph/graph.h"

namespace condense::quantization {

// Folds every BatchNormalization behind a layer whose weight is quantized into
// that layer: weights times gamma / sigma of their channel, and their scales
// with them. A scale per channel, learnt or at max |w|, moves with its channel,
// so the integers stay what they were but for rounding, and the function within
// 1e-5 (relative) plus what a level that flips at a tie makes. Call after QAT
// with live batch normalisation.
absl::Status FoldLiveBatchNorm(graph::Graph* graph);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_LIVE_BATCH_NORM_H_
