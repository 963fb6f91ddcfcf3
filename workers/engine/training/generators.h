#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_GENERATORS_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_GENERATORS_H_

#include <torch/torch.h>

#include <cstdint>

#include "absl/status/status.h"
#include "workers/engine/training/weight_copy.h"

namespace condense::training {

// LibTorch's default random generators: those of the CPU, and of the device
// that trains where that is another one.

void SeedGenerators(uint64_t seed);
// Their states by "random/cpu" and "random/device".
TensorMap GeneratorStates(const torch::Device& device);
// DATA_LOSS with reason CHECKPOINT_CORRUPT.
absl::Status RestoreGenerators(const torch::Device& device,
                               const TensorMap& states);

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_GENERATORS_H_
