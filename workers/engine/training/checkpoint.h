#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_CHECKPOINT_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_CHECKPOINT_H_

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"

namespace condense::training {

// What a checkpoint belongs to, by the name of the part: "model", "recipe",
// "data 'train'", "libtorch", "threads", ...
using Fingerprint = std::map<std::string, std::string>;

// Everything that a run needs to go on as if it had not been interrupted.
struct Checkpoint {
  // Where it differs the checkpoint is refused.
  Fingerprint fingerprint;
  // Optimizer steps since the job's start.
  int64_t step = 0;
  // Texts and files: the graph, the place in the recipe, report rows.
  std::map<std::string, absl::Cord> blobs;
  // Weights, moments, averages, the best so far, ranges, generators.
  std::map<std::string, torch::Tensor> tensors;
};

// The file: "CNDNSCK2", counted fields (little endian), then the SHA-256 of all
// of that; no code in it. Written piece by piece to a temporary file, synced,
// renamed: beside the checkpoint itself no more than one tensor is in memory.
absl::Status WriteCheckpoint(const std::string& path,
                             const Checkpoint& checkpoint);

// DATA_LOSS with reason CHECKPOINT_CORRUPT; FAILED_PRECONDITION with reason
// CHECKPOINT_MISMATCH, naming every part in which its fingerprint differs.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path,
                                          const Fingerprint& fingerprint);

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_CHECKPOINT_H_
