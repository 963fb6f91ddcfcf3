#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_PREDICTED_SIZE_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_PREDICTED_SIZE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"

namespace condense::pipeline {

struct PredictedSizes {
  int64_t bits8 = 0;
  int64_t bits4 = 0;
};

// Bytes of the ONNX file of a graph with quantizers (PlaceQuantizers), before
// anything is calibrated or trained: quantized weights at 8 or 4 bits (packed
// two to a byte) with a scale and a zero point per channel, their biases in 32
// bits with a scale each, everything else as it is, and the quantizers of
// activations.
absl::StatusOr<PredictedSizes> PredictSizes(const graph::Graph& placed,
                                            int opset);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_PREDICTED_SIZE_H_
