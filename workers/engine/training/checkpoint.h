#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_CHECKPOINT_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_CHECKPOINT_H_

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace condense::training {

// Everything that a run needs to go on as if it had not been interrupted.
struct Checkpoint {
  // Digest over model, recipe, data and toolchain: another one is refused.
  std::string fingerprint;
  // Optimizer steps since the job's start.
  int64_t step = 0;
  // Texts and files: the graph, the place in the recipe, report rows.
  std::map<std::string, std::string> blobs;
  // Weights, moments, ranges.
  std::map<std::string, torch::Tensor> tensors;
};

// The file: "CNDNSCK1", then the SHA-256 of what follows, then counted fields
// (little endian); no code in it. Written to a temporary file, synced, renamed.
absl::Status WriteCheckpoint(const std::string& path,
                             const Checkpoint& checkpoint);

// DATA_LOSS with reason CHECKPOINT_CORRUPT; FAILED_PRECONDITION with reason
// CHECKPOINT_MISMATCH if its fingerprint is not `fingerprint`.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path,
                                          const std::string& fingerprint);

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_CHECKPOINT_H_
