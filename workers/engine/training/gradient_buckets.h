#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_GRADIENT_BUCKETS_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_GRADIENT_BUCKETS_H_

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "workers/engine/runtime/executor.h"
#include "workers/engine/training/collective.h"

namespace condense::training {

// Averages gradients over ranks while backward still runs (Li et al., VLDB
// 2020): parameters are put into buckets in the reverse of the order in which
// forward uses them, and a bucket is sent as soon as its last gradient is
// there. Not thread-safe.
class GradientBuckets {
 public:
  // All must outlive the buckets, the parameters also any backward pass.
  GradientBuckets(const std::vector<runtime::Parameter>& parameters,
                  const Collective* collective,
                  int64_t bytes_per_bucket = 25 << 20);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;

  // The next backward pass is the last one of the step: gradients are complete
  // after it, and are sent as they come.
  void Arm();
  // After it: waits, and puts the mean over ranks into each gradient.
  // Parameters without gradient count as zero. Throws as Collective.
  void Finish();

  size_t size() const { return buckets_.size(); }

 private:
  struct Bucket {
    std::vector<torch::Tensor> parameters;
    // Gradients of its parameters one after the other.
    torch::Tensor flat;
    size_t missing = 0;
    Collective::Wait wait;
  };
  // Keeps a parameter's hook alive.
  struct Hook;

  void AddHook(const torch::Tensor& parameter, size_t bucket);
  void Ready(size_t bucket);
  void Send(Bucket* bucket);
  // Sends those that are complete, in order: all ranks send alike.
  void SendComplete();

  const Collective& collective_;
  std::vector<Bucket> buckets_;
  std::vector<std::unique_ptr<Hook>> hooks_;
  // The first that is not sent.
  size_t next_ = 0;
  bool armed_ = false;
};

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_GRADIENT_BUCKETS_H_
