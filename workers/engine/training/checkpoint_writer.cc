#include "workers/engine/training/checkpoint_writer.h"

#include <utility>

#include "common/status_macros.h"
#include "workers/engine/training/evaluate.h"

namespace condense::training {
namespace {

// Copies `from` into the tensors of `to` and forgets what `from` lacks.
void CopyTensors(const std::map<std::string, torch::Tensor>& from,
                 std::map<std::string, torch::Tensor>* to) {
  const torch::NoGradGuard no_grad;
  for (auto it = to->begin(); it != to->end();) {
    it = from.count(it->first) ? std::next(it) : to->erase(it);
  }
  for (const auto& [name, tensor] : from) {
    torch::Tensor& copy = (*to)[name];
    const bool fits = copy.defined() && copy.sizes() == tensor.sizes() &&
                      copy.scalar_type() == tensor.scalar_type();
    if (!fits)
      copy = at::empty(tensor.sizes(), tensor.options().device(at::kCPU));
    copy.copy_(tensor);
  }
}

}  // namespace

CheckpointWriter::~CheckpointWriter() {
  if (thread_.joinable()) thread_.join();
}

absl::Status CheckpointWriter::Flush() {
  if (thread_.joinable()) thread_.join();
  absl::MutexLock lock(&mu_);
  return std::exchange(status_, absl::OkStatus());
}

absl::Status CheckpointWriter::Submit(const std::string& path,
                                      Checkpoint checkpoint,
                                      std::function<void()> written) {
  CONDENSE_RETURN_IF_ERROR(Flush());
  try {
    CopyTensors(checkpoint.tensors, &snapshot_.tensors);
  } catch (const std::exception& error) {
    return RuntimeError(error);
  }
  snapshot_.fingerprint = std::move(checkpoint.fingerprint);
  snapshot_.step = checkpoint.step;
  snapshot_.blobs = std::move(checkpoint.blobs);
  thread_ = std::thread(
      [this, path, written = std::move(written)] { Write(path, written); });
  return absl::OkStatus();
}

void CheckpointWriter::Write(const std::string& path,
                             const std::function<void()>& written) {
  absl::Status status = WriteCheckpoint(path, snapshot_);
  if (status.ok() && written) written();
  absl::MutexLock lock(&mu_);
  status_ = std::move(status);
}

}  // namespace condense::training
