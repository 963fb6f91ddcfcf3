#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_COLLECTIVE_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_COLLECTIVE_H_

#include <torch/torch.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace condense::training {

// Who this process is among those that train one model together.
struct RankOptions {
  // From 0; rank 0 leads: it alone writes and tells.
  int rank = 0;
  int size = 1;
  // "file:///PATH" (one machine; a file that is not there yet), or
  // "tcp://HOST:PORT" (rank 0 listens).
  std::string rendezvous;
  // "cpu": Gloo; "cuda:N": NCCL.
  std::string device = "cpu";
};

// Adds tensors up over ranks, by LibTorch's c10d. Every rank has to make the
// same calls in the same order. For one thread and, during backward, LibTorch's
// own.
class Collective {
 public:
  // Waits for all ranks. UNAVAILABLE with reason RANK_LOST where they do not
  // come; UNIMPLEMENTED with reason NO_TRANSPORT where LibTorch was built
  // without Gloo or NCCL; INVALID_ARGUMENT with reason BAD_RENDEZVOUS.
  static absl::StatusOr<std::unique_ptr<Collective>> Join(
      const RankOptions& options);

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool leads() const { return rank_ == 0; }

  // Begins to replace a tensor on the device of the ranks by its sum; waits
  // when what it returns is called. Both throw where a rank is gone (see
  // IsRankLost).
  using Wait = std::function<void()>;
  Wait BeginSum(const torch::Tensor& tensor) const { return sum_(tensor); }
  void Sum(const torch::Tensor& tensor) const { sum_(tensor)(); }
  // All ranks get rank 0's number; a barrier too.
  double FromLeader(double value) const;
  // All ranks get rank 0's tensors.
  void TakeFromLeader(const torch::Tensor& tensor) const;

 private:
  Collective(int rank, int size, torch::Device device)
      : rank_(rank), size_(size), device_(device) {}

  const int rank_;
  const int size_;
  const torch::Device device_;
  std::function<Wait(torch::Tensor)> sum_;
};

// Where an exception says that another rank does not answer any more.
bool IsRankLost(const std::exception& error);

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_COLLECTIVE_H_
