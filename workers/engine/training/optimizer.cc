#include "workers/engine/training/optimizer.h"

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"

namespace condense::training {
namespace {

constexpr char kSteps[] = "optimizer/steps";
constexpr char kFirst[] = "optimizer/first/";
constexpr char kSecond[] = "optimizer/second/";

}  // namespace

Optimizer::Optimizer(std::vector<runtime::Parameter> parameters,
                     OptimizerOptions options)
    : parameters_(std::move(parameters)),
      options_(options),
      first_(parameters_.size()),
      second_(parameters_.size()) {}

void Optimizer::ZeroGrad() {
  for (runtime::Parameter& parameter : parameters_) {
    parameter.tensor.mutable_grad() = torch::Tensor();
  }
}

void Optimizer::Step(double lr) {
  torch::NoGradGuard no_grad;
  ++steps_;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    runtime::Parameter& parameter = parameters_[i];
    torch::Tensor grad = parameter.tensor.grad();
    if (!grad.defined()) continue;
    if (options_.weight_decay > 0 &&
        parameter.kind == runtime::ParameterKind::kWeight) {
      grad = grad.add(parameter.tensor, options_.weight_decay);
    }
    if (options_.kind == OptimizerOptions::Kind::kSgd) {
      SgdStep(lr, grad, i);
    } else {
      AdamStep(lr, grad, i);
    }
  }
}

void Optimizer::SgdStep(double lr, const torch::Tensor& grad, size_t i) {
  torch::Tensor direction = grad;
  if (options_.momentum > 0) {
    if (first_[i].defined()) {
      first_[i].mul_(options_.momentum).add_(grad);
    } else {
      first_[i] = grad.clone();
    }
    direction =
        options_.nesterov ? grad.add(first_[i], options_.momentum) : first_[i];
  }
  parameters_[i].tensor.add_(direction, -lr);
}

void Optimizer::AdamStep(double lr, const torch::Tensor& grad, size_t i) {
  if (!first_[i].defined()) {
    first_[i] = torch::zeros_like(grad);
    second_[i] = torch::zeros_like(grad);
  }
  first_[i].mul_(options_.beta1).add_(grad, 1 - options_.beta1);
  second_[i].mul_(options_.beta2).addcmul_(grad, grad, 1 - options_.beta2);
  const double correct1 = 1 - std::pow(options_.beta1, steps_);
  const double correct2 = 1 - std::pow(options_.beta2, steps_);
  const torch::Tensor scale =
      second_[i].sqrt().div_(std::sqrt(correct2)).add_(options_.epsilon);
  parameters_[i].tensor.addcdiv_(first_[i], scale, -lr / correct1);
}

std::map<std::string, torch::Tensor> Optimizer::State() const {
  std::map<std::string, torch::Tensor> state;
  state[kSteps] = torch::tensor(steps_, torch::kInt64);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (first_[i].defined()) state[kFirst + parameters_[i].name] = first_[i];
    if (second_[i].defined()) state[kSecond + parameters_[i].name] = second_[i];
  }
  return state;
}

absl::Status Optimizer::Restore(
    const std::map<std::string, torch::Tensor>& state) {
  auto steps = state.find(kSteps);
  if (steps == state.end()) {
    return MakeError(absl::StatusCode::kDataLoss, "CHECKPOINT_CORRUPT",
                     "the checkpoint has no optimizer state");
  }
  steps_ = steps->second.item<int64_t>();
  for (size_t i = 0; i < parameters_.size(); ++i) {
    for (auto& [prefix, moments] :
         {std::pair<const char*, std::vector<torch::Tensor>*>{kFirst, &first_},
          {kSecond, &second_}}) {
      auto it = state.find(prefix + parameters_[i].name);
      (*moments)[i] = torch::Tensor();
      if (it == state.end()) continue;
      if (it->second.sizes() != parameters_[i].tensor.sizes()) {
        return MakeError(absl::StatusCode::kDataLoss, "CHECKPOINT_CORRUPT",
                         absl::StrCat("the moments of '", parameters_[i].name,
                                      "' have another shape"));
      }
      (*moments)[i] = it->second.clone().to(parameters_[i].tensor.device());
    }
  }
  return absl::OkStatus();
}

}  // namespace condense::training
