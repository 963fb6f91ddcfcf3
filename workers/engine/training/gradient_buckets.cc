#include "workers/engine/training/gradient_buckets.h"

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <functional>
#include <utility>

namespace condense::training {
namespace {

using torch::Tensor;
using torch::autograd::variable_list;

// Called once a leaf's gradient has been added up.
class AfterGradient : public torch::autograd::FunctionPostHook {
 public:
  explicit AfterGradient(std::function<void()> call) : call_(std::move(call)) {}
  variable_list operator()(const variable_list& outputs,
                           const variable_list&) override {
    call_();
    return outputs;
  }

 private:
  const std::function<void()> call_;
};

}  // namespace

struct GradientBuckets::Hook {
  // Weakly held by the parameter, and by the graph while it is there.
  std::shared_ptr<torch::autograd::Node> accumulator;
  uintptr_t key = 0;
};

GradientBuckets::GradientBuckets(
    const std::vector<runtime::Parameter>& parameters,
    const Collective* collective, int64_t bytes_per_bucket)
    : collective_(*collective) {
  int64_t bytes = 0;
  for (auto it = parameters.rbegin(); it != parameters.rend(); ++it) {
    if (buckets_.empty() || bytes >= bytes_per_bucket) {
      buckets_.emplace_back();
      bytes = 0;
    }
    buckets_.back().parameters.push_back(it->tensor);
    bytes += static_cast<int64_t>(it->tensor.nbytes());
  }
  for (size_t i = 0; i < buckets_.size(); ++i) {
    int64_t count = 0;
    for (const Tensor& parameter : buckets_[i].parameters) {
      count += parameter.numel();
      AddHook(parameter, i);
    }
    buckets_[i].flat = at::zeros({count}, buckets_[i].parameters[0].options());
  }
}

GradientBuckets::~GradientBuckets() {
  for (const auto& hook : hooks_) hook->accumulator->del_post_hook(hook->key);
}

void GradientBuckets::AddHook(const Tensor& parameter, size_t bucket) {
  auto hook = std::make_unique<Hook>();
  hook->accumulator = torch::autograd::impl::grad_accumulator(parameter);
  hook->key = hook->accumulator->add_post_hook(
      std::make_unique<AfterGradient>([this, bucket] { Ready(bucket); }));
  hooks_.push_back(std::move(hook));
}

void GradientBuckets::Arm() {
  for (Bucket& bucket : buckets_) bucket.missing = bucket.parameters.size();
  next_ = 0;
  armed_ = true;
}

void GradientBuckets::Ready(size_t bucket) {
  if (!armed_) return;
  --buckets_[bucket].missing;
  SendComplete();
}

void GradientBuckets::SendComplete() {
  while (next_ < buckets_.size() && buckets_[next_].missing == 0) {
    Send(&buckets_[next_++]);
  }
}

void GradientBuckets::Send(Bucket* bucket) {
  const torch::NoGradGuard no_grad;
  int64_t begin = 0;
  for (const Tensor& parameter : bucket->parameters) {
    const int64_t count = parameter.numel();
    Tensor part = bucket->flat.narrow(0, begin, count).view(parameter.sizes());
    if (parameter.grad().defined()) {
      part.copy_(parameter.grad()).mul_(1.0 / collective_.size());
    } else {
      part.zero_();
    }
    begin += count;
  }
  bucket->wait = collective_.BeginSum(bucket->flat);
}

void GradientBuckets::Finish() {
  const torch::NoGradGuard no_grad;
  armed_ = false;
  // What got no gradient holds nothing back.
  for (Bucket& bucket : buckets_) bucket.missing = 0;
  SendComplete();
  for (Bucket& bucket : buckets_) {
    bucket.wait();
    bucket.wait = nullptr;
    int64_t begin = 0;
    for (const Tensor& parameter : bucket.parameters) {
      const int64_t count = parameter.numel();
      if (parameter.grad().defined()) {
        parameter.grad().copy_(
            bucket.flat.narrow(0, begin, count).view(parameter.sizes()));
      }
      begin += count;
    }
  }
}

}  // namespace condense::training
