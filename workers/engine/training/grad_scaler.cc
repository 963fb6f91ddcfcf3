#include "workers/engine/training/grad_scaler.h"

#include "common/error.h"

namespace condense::training {
namespace {

constexpr char kState[] = "scaler/state";

}  // namespace

bool GradScaler::Unscale(std::vector<runtime::Parameter>& parameters) {
  const torch::NoGradGuard no_grad;
  // One answer for all gradients: the device is waited for once.
  torch::Tensor finite;
  for (runtime::Parameter& parameter : parameters) {
    torch::Tensor grad = parameter.tensor.grad();
    if (!grad.defined()) continue;
    grad.mul_(1 / scale_);
    const torch::Tensor good = at::isfinite(grad).all();
    finite = finite.defined() ? finite.logical_and(good) : good;
  }
  if (finite.defined() && !finite.item<bool>()) {
    scale_ *= options_.backoff;
    good_steps_ = 0;
    ++skipped_;
    return false;
  }
  if (++good_steps_ >= options_.growth_interval) {
    scale_ *= options_.growth;
    good_steps_ = 0;
  }
  return true;
}

std::map<std::string, torch::Tensor> GradScaler::State() const {
  return {{kState, torch::tensor({scale_, static_cast<double>(good_steps_),
                                  static_cast<double>(skipped_)},
                                 torch::kFloat64)}};
}

absl::Status GradScaler::Restore(
    const std::map<std::string, torch::Tensor>& state) {
  const auto it = state.find(kState);
  if (it == state.end() || it->second.numel() != 3) {
    return MakeError(absl::StatusCode::kDataLoss, "CHECKPOINT_CORRUPT",
                     "the checkpoint has no scale of the loss");
  }
  scale_ = it->second[0].item<double>();
  good_steps_ = it->second[1].item<int64_t>();
  skipped_ = it->second[2].item<int64_t>();
  return absl::OkStatus();
}

}  // namespace condense::training
