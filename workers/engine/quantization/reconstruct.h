#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_RECONSTRUCT_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_RECONSTRUCT_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "workers/engine/data/loader.h"
#include "workers/engine/graph/graph.h"

namespace condense::quantization {

struct ReconstructOptions {
  // The output that is kept: false, that of each layer (AdaRound, Nagel et al.,
  // arXiv:2004.10568); true, that of each block with all its layers trained
  // together (BRECQ, Li et al., arXiv:2102.05426).
  bool blocks = false;
  // In training, each element of an activation stays in float with this
  // probability, and the block's input is mixed from the float and the
  // quantized one alike (QDrop, Wei et al., arXiv:2203.05740, with 1/2).
  double drop = 0;
  // Steps per layer or block.
  int64_t iterations = 1000;
  int64_t batch_size = 32;
  double lr = 0.01;
  // Of the regulariser, which is off for the first fifth of the steps.
  double regularization = 0.01;
  // At most this many of the loader's.
  int64_t samples = 256;
  uint64_t seed = 17;
  std::string device = "cpu";
  // After each block: done, in all. May be empty.
  std::function<void(int64_t, int64_t)> progress;
};

// Finds for each weight of the calibrated simulation whether it is better
// rounded up or down, by gradient descent on SoftRounding, block after block:
// the quantized model's output of a block is fitted to the float model's. Of
// activations only the inputs and outputs of the block at hand are kept. What
// no block contains keeps its rounding. Errors of the loader and the executor.
absl::Status Reconstruct(graph::Graph* graph, data::Loader* loader,
                         const ReconstructOptions& options);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_RECONSTRUCT_H_
