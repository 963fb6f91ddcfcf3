#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_TABLE_QUANTIZE_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_TABLE_QUANTIZE_H_

#include <torch/torch.h>

#include <cstdint>

#include "workers/engine/runtime/level_table.h"

namespace condense::runtime {

struct TableQuantizeInputs {
  // The weight, float32; on a GPU the work is done on the CPU.
  torch::Tensor w;
  // One row per channel along `axis`, or one for the tensor.
  torch::Tensor table;
  // Is written: the scale of each row, as LevelTableOf finds it.
  torch::Tensor scale;
};

struct TableQuantizeOptions {
  TableKind kind = TableKind::kLevels;
  int64_t axis = -1;
  int64_t qmax = 63;
  // kBasis: FollowBasis comes first and writes the table.
  bool follow = false;
};

// Every weight at the nearest level of its channel's LevelTable. The gradient
// of w is that of y. That of a table of kLevels is the sum over the weights at
// a level, by the square root of their number: a level then moves as far as a
// weight does. So the map from the intervals between levels to the levels is
// learnt, after Wang et al., "Learnable lookup table for neural network
// quantization", CVPR 2022. A basis has no gradient.
torch::Tensor TableQuantize(const TableQuantizeInputs& inputs,
                            const TableQuantizeOptions& options);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_TABLE_QUANTIZE_H_
