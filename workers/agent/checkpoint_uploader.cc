#include "workers/agent/checkpoint_uploader.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace condense::agent {
namespace {
namespace fs = std::filesystem;
}  // namespace

CheckpointUploader::CheckpointUploader(Options options)
    : options_(std::move(options)) {
  thread_ = std::thread([this] { Work(); });
}

CheckpointUploader::~CheckpointUploader() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.join();
}

void CheckpointUploader::Add(const v1::CheckpointWritten& written) {
  absl::MutexLock lock(&mu_);
  const std::string kept =
      absl::StrCat(options_.folder, "/upload-", ++count_, ".ckpt");
  std::error_code error;
  fs::create_hard_link(written.path(), kept, error);
  if (error) fs::copy_file(written.path(), kept, error);
  if (error) {
    CONDENSE_LOG(kWarning, "a checkpoint is lost: ", error.message());
    return;
  }
  if (pending_.has_value()) fs::remove(pending_->path, error);
  pending_ = Pending{kept, written.step()};
}

void CheckpointUploader::Flush() {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(
      +[](CheckpointUploader* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mu_) {
        return !self->pending_.has_value() && !self->busy_;
      },
      this));
}

std::optional<v1::Checkpoint> CheckpointUploader::newest() const {
  absl::MutexLock lock(&mu_);
  return newest_;
}

absl::StatusOr<v1::Checkpoint> CheckpointUploader::Upload(
    const Pending& pending) const {
  v1::BlobRef blob;
  CONDENSE_ASSIGN_OR_RETURN(*blob.mutable_digest(), DigestOfFile(pending.path));
  std::error_code error;
  blob.set_size_bytes(static_cast<int64_t>(fs::file_size(pending.path, error)));
  blob.set_filename("checkpoint");
  CONDENSE_RETURN_IF_ERROR(UploadBlob(options_.blobs, pending.path, blob));
  v1::Checkpoint checkpoint;
  checkpoint.set_digest(blob.digest());
  checkpoint.set_size_bytes(blob.size_bytes());
  checkpoint.set_step(pending.step);
  return checkpoint;
}

void CheckpointUploader::Work() {
  for (;;) {
    Pending pending;
    {
      absl::MutexLock lock(&mu_);
      busy_ = false;
      mu_.Await(absl::Condition(
          +[](CheckpointUploader* self)
               ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mu_) {
                 return self->stopping_ || self->pending_.has_value();
               },
          this));
      if (stopping_) return;
      pending = *std::exchange(pending_, std::nullopt);
      busy_ = true;
    }
    const absl::StatusOr<v1::Checkpoint> checkpoint = Upload(pending);
    std::error_code error;
    fs::remove(pending.path, error);
    if (!checkpoint.ok()) {
      CONDENSE_LOG(kWarning, "a checkpoint is not uploaded: ",
                   checkpoint.status().message());
      continue;
    }
    {
      absl::MutexLock lock(&mu_);
      newest_ = *checkpoint;
    }
    options_.uploaded(*checkpoint);
  }
}

}  // namespace condense::agent
