#include "workers/engine/runtime/sync_batch_norm.h"

#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"

namespace condense::runtime {
namespace {

using torch::Tensor;

// Adds up the tensors of two threads.
class TwoRanks {
 public:
  void Add(const Tensor& tensor) {
    absl::MutexLock lock(&mu_);
    const int64_t round = round_;
    sum_ = arrived_ == 0 ? tensor.clone() : sum_ + tensor;
    if (++arrived_ == 2) {
      arrived_ = 0;
      ++round_;
      result_ = sum_;
    } else {
      auto done = [this, round]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return round_ != round;
      };
      mu_.Await(absl::Condition(&done));
    }
    tensor.copy_(result_);
  }

 private:
  absl::Mutex mu_;
  int arrived_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t round_ ABSL_GUARDED_BY(mu_) = 0;
  Tensor sum_ ABSL_GUARDED_BY(mu_);
  Tensor result_ ABSL_GUARDED_BY(mu_);
};

struct Result {
  Tensor y, grad_x, grad_scale, grad_shift, mean, var;
};

Result Compute(const Tensor& x, const Tensor& weigh, const AddUp* add_up) {
  Tensor in = x.detach().clone().set_requires_grad(true);
  Tensor scale = torch::tensor({0.5f, 2.f, -1.f}).set_requires_grad(true);
  Tensor shift = torch::tensor({0.1f, 0.f, 3.f}).set_requires_grad(true);
  Result r;
  r.mean = torch::zeros({3});
  r.var = torch::ones({3});
  r.y = add_up == nullptr ? at::batch_norm(in, scale, shift, r.mean, r.var,
                                           true, 0.1, 1e-5, false)
                          : SyncBatchNorm(in, scale, shift, r.mean, r.var, 0.1,
                                          1e-5, *add_up);
  (r.y * weigh).sum().backward();
  r.grad_x = in.grad();
  r.grad_scale = scale.grad();
  r.grad_shift = shift.grad();
  return r;
}

TEST(SyncBatchNormTest, TwoRanksComputeWhatOneProcessDoesOnTheWholeBatch) {
  torch::manual_seed(7);
  const Tensor x = torch::randn({8, 3, 4, 5}) * 3 + 5;
  const Tensor weigh = torch::randn_like(x);
  const Result whole = Compute(x, weigh, nullptr);
  TwoRanks ranks;
  const AddUp add_up = [&](const Tensor& tensor) { ranks.Add(tensor); };
  std::vector<Result> parts(2);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      parts[rank] =
          Compute(x.narrow(0, 4 * rank, 4), weigh.narrow(0, 4 * rank, 4), &add_up);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto close = [](const Tensor& a, const Tensor& b) {
    return (a - b).abs().max().item<double>() < 2e-5;
  };
  EXPECT_TRUE(close(at::cat({parts[0].y, parts[1].y}), whole.y));
  EXPECT_TRUE(close(at::cat({parts[0].grad_x, parts[1].grad_x}), whole.grad_x));
  EXPECT_TRUE(
      close(parts[0].grad_scale + parts[1].grad_scale, whole.grad_scale));
  EXPECT_TRUE(
      close(parts[0].grad_shift + parts[1].grad_shift, whole.grad_shift));
  for (const Result& part : parts) {
    EXPECT_TRUE(close(part.mean, whole.mean));
    EXPECT_TRUE(close(part.var, whole.var));
  }
}

}  // namespace
}  // namespace condense::runtime
