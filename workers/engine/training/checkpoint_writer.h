#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_CHECKPOINT_WRITER_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_CHECKPOINT_WRITER_H_

#include <functional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "workers/engine/training/checkpoint.h"

namespace condense::training {

// Writes checkpoints on a thread of its own while training goes on: the caller
// waits only until the tensors are copied in memory. At most one is in flight,
// so that there is never more than one copy. For one thread.
class CheckpointWriter {
 public:
  CheckpointWriter() = default;
  // Waits for the write in flight.
  ~CheckpointWriter();

  // Copies the tensors and begins to write. Waits first for the write before
  // and returns its error, if it failed; nothing is written then. `written` is
  // called on the writing thread once the file is there.
  absl::Status Submit(const std::string& path, Checkpoint checkpoint,
                      std::function<void()> written);
  // Waits for the write in flight; its error is returned once.
  absl::Status Flush();

 private:
  void Write(const std::string& path, const std::function<void()>& written);

  // Kept from one checkpoint to the next: fresh memory costs page faults.
  Checkpoint snapshot_;
  std::thread thread_;
  absl::Mutex mu_;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_CHECKPOINT_WRITER_H_
