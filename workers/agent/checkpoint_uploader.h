#ifndef CONDENSE_WORKERS_AGENT_CHECKPOINT_UPLOADER_H_
#define CONDENSE_WORKERS_AGENT_CHECKPOINT_UPLOADER_H_

#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/blob_transfer.h"
#include "condense/v1/engine.pb.h"
#include "condense/v1/job.pb.h"

namespace condense::agent {

// Uploads checkpoints on a thread of its own, so that training never waits for
// the network; one that is overtaken by a newer one is skipped. Thread-safe.
class CheckpointUploader {
 public:
  struct Options {
    BlobAccess blobs;
    // Where copies (hard links) stand until they are uploaded: the engine
    // removes its older files.
    std::string folder;
    // Called after each upload, from the uploader's thread.
    std::function<void(const v1::Checkpoint&)> uploaded;
  };
  explicit CheckpointUploader(Options options);
  // Gives up what is not uploaded.
  ~CheckpointUploader();

  void Add(const v1::CheckpointWritten& written);
  // Waits until the newest one is uploaded, or has failed to.
  void Flush();
  // The newest that is stored; nullopt: none.
  std::optional<v1::Checkpoint> newest() const;

 private:
  struct Pending {
    std::string path;
    int64_t step = 0;
  };
  void Work();
  absl::StatusOr<v1::Checkpoint> Upload(const Pending& pending) const;

  const Options options_;
  mutable absl::Mutex mu_;
  std::optional<Pending> pending_ ABSL_GUARDED_BY(mu_);
  bool busy_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int64_t count_ ABSL_GUARDED_BY(mu_) = 0;
  std::optional<v1::Checkpoint> newest_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace condense::agent

#endif  // CONDENSE_WORKERS_AGENT_CHECKPOINT_UPLOADER_H_
