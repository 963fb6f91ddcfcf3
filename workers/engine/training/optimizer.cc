#include "workers/engine/training/optimizer.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "workers/engine/training/update_kernels.h"

namespace condense::training {
namespace {

using Kind = OptimizerOptions::Kind;
using torch::Tensor;

constexpr char kSteps[] = "optimizer/steps";
constexpr char kFirst[] = "optimizer/first/";
constexpr char kSecond[] = "optimizer/second/";
// Elements of one piece of work: five arrays of it fit into a core's cache.
constexpr int64_t kPiece = 1 << 14;

// The gradient lies in memory as the weight does, so that loops need no index.
Tensor AlignedGrad(const Tensor& weight) {
  const Tensor& grad = weight.grad();
  if (grad.strides() == weight.strides() &&
      grad.is_non_overlapping_and_dense() &&
      grad.scalar_type() == weight.scalar_type()) {
    return grad;
  }
  return at::empty_like(weight).copy_(grad);
}

bool CanFuse(const Tensor& weight) {
  return weight.device().is_cpu() && weight.scalar_type() == torch::kFloat32 &&
         weight.is_non_overlapping_and_dense();
}

}  // namespace

void ForPieces(const std::vector<int64_t>& lengths,
               const std::function<void(size_t, int64_t, int64_t)>& work) {
  struct Piece {
    size_t array;
    int64_t begin, end;
  };
  std::vector<Piece> pieces;
  for (size_t i = 0; i < lengths.size(); ++i) {
    for (int64_t begin = 0; begin < lengths[i]; begin += kPiece) {
      pieces.push_back({i, begin, std::min(begin + kPiece, lengths[i])});
    }
  }
  at::parallel_for(0, static_cast<int64_t>(pieces.size()), 4,
                   [&](int64_t first, int64_t last) {
                     for (int64_t p = first; p < last; ++p) {
                       work(pieces[p].array, pieces[p].begin, pieces[p].end);
                     }
                   });
}

struct Optimizer::Rates {
  double lr = 0;
  double grad_scale = 1;
  // Adam: of the first and (its root) of the second moment.
  double correction1 = 1;
  double correction2 = 1;
};

Optimizer::Optimizer(std::vector<runtime::Parameter> parameters,
                     OptimizerOptions options)
    : parameters_(std::move(parameters)),
      options_(options),
      first_(parameters_.size()),
      second_(parameters_.size()) {}

void Optimizer::ZeroGrad() {
  for (runtime::Parameter& parameter : parameters_) {
    parameter.tensor.mutable_grad() = Tensor();
  }
}

double Optimizer::GradientNorm() const {
  const torch::NoGradGuard no_grad;
  double sum = 0;
  std::vector<Tensor> dense;
  std::vector<int64_t> lengths;
  for (const runtime::Parameter& parameter : parameters_) {
    const Tensor& grad = parameter.tensor.grad();
    if (!grad.defined()) continue;
    if (CanFuse(grad)) {
      dense.push_back(grad);
      lengths.push_back(grad.numel());
    } else {
      sum += grad.to(torch::kFloat32).square().sum().item<double>();
    }
  }
  std::vector<std::vector<double>> sums;
  for (int64_t length : lengths) {
    sums.emplace_back((length + kPiece - 1) / kPiece);
  }
  ForPieces(lengths, [&](size_t i, int64_t begin, int64_t end) {
    sums[i][begin / kPiece] =
        SumOfSquares(end - begin, dense[i].data_ptr<float>() + begin);
  });
  for (const std::vector<double>& pieces : sums) {
    for (double piece : pieces) sum += piece;
  }
  return std::sqrt(sum);
}

std::string Optimizer::FirstBadGradient() const {
  for (const runtime::Parameter& parameter : parameters_) {
    const Tensor& grad = parameter.tensor.grad();
    if (grad.defined() && !at::isfinite(grad).all().item<bool>()) {
      return parameter.name;
    }
  }
  return "";
}

double Optimizer::DecayOf(size_t i) const {
  return parameters_[i].kind == runtime::ParameterKind::kWeight
             ? options_.weight_decay
             : 0;
}

Optimizer::Rates Optimizer::RatesOf(double lr, double grad_scale) const {
  Rates rates;
  rates.lr = lr;
  rates.grad_scale = grad_scale;
  if (options_.kind == Kind::kSgd) return rates;
  rates.correction1 = 1 - std::pow(options_.beta1, steps_);
  rates.correction2 = std::sqrt(1 - std::pow(options_.beta2, steps_));
  return rates;
}

void Optimizer::MakeMoments(size_t i) {
  const bool adam = options_.kind != Kind::kSgd;
  if (!first_[i].defined() && (adam || options_.momentum > 0)) {
    first_[i] = at::zeros_like(parameters_[i].tensor);
  }
  if (!second_[i].defined() && adam) {
    second_[i] = at::zeros_like(parameters_[i].tensor);
  }
}

void Optimizer::Step(double lr, double grad_scale) {
  const torch::NoGradGuard no_grad;
  ++steps_;
  std::vector<size_t> fused, others;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!parameters_[i].tensor.grad().defined()) continue;
    MakeMoments(i);
    const bool fuse = options_.fused && CanFuse(parameters_[i].tensor);
    (fuse ? fused : others).push_back(i);
  }
  const Rates rates = RatesOf(lr, grad_scale);
  if (!fused.empty()) FusedStep(rates, fused);
  if (!others.empty()) ForeachStep(rates, others);
}

void Optimizer::FusedStep(const Rates& rates,
                          const std::vector<size_t>& which) {
  std::vector<Tensor> grads;
  std::vector<int64_t> lengths;
  for (size_t i : which) {
    grads.push_back(AlignedGrad(parameters_[i].tensor));
    lengths.push_back(grads.back().numel());
  }
  const auto at = [](const Tensor& tensor, int64_t begin) {
    return tensor.defined() ? tensor.data_ptr<float>() + begin : nullptr;
  };
  const auto f = [](double value) { return static_cast<float>(value); };
  ForPieces(lengths, [&](size_t k, int64_t begin, int64_t end) {
    const size_t i = which[k];
    const float* grad = at(grads[k], begin);
    float* weight = at(parameters_[i].tensor, begin);
    const double decay = DecayOf(i);
    if (options_.kind == Kind::kSgd) {
      SgdUpdate({.lr = f(rates.lr),
                 .momentum = f(options_.momentum),
                 .decay = f(decay),
                 .grad_scale = f(rates.grad_scale),
                 .nesterov = options_.nesterov},
                end - begin, grad, weight, at(first_[i], begin));
      return;
    }
    const bool decoupled = options_.kind == Kind::kAdamW;
    AdamUpdate({.rate = f(rates.lr / rates.correction1),
                .beta1 = f(options_.beta1),
                .beta2 = f(options_.beta2),
                .rest1 = f(1 - options_.beta1),
                .rest2 = f(1 - options_.beta2),
                .correction = f(rates.correction2),
                .epsilon = f(options_.epsilon),
                .decay = f(decoupled ? 0 : decay),
                .shrink = f(decoupled ? 1 - rates.lr * decay : 1),
                .grad_scale = f(rates.grad_scale)},
               end - begin, grad, weight, at(first_[i], begin),
               at(second_[i], begin));
  });
}

void Optimizer::ForeachStep(const Rates& rates,
                            const std::vector<size_t>& which) {
  std::vector<Tensor> weights, grads, first, second, decayed, decayed_grads;
  for (size_t i : which) {
    Tensor& weight = parameters_[i].tensor;
    weights.push_back(weight);
    grads.push_back(at::mul(weight.grad(), rates.grad_scale));
    first.push_back(first_[i]);
    second.push_back(second_[i]);
    if (DecayOf(i) == 0) continue;
    decayed.push_back(weight);
    decayed_grads.push_back(grads.back());
  }
  if (!decayed.empty() && options_.kind == Kind::kAdamW) {
    at::_foreach_mul_(decayed, 1 - rates.lr * options_.weight_decay);
  } else if (!decayed.empty()) {
    at::_foreach_add_(decayed_grads, decayed, options_.weight_decay);
  }
  if (options_.kind != Kind::kSgd) {
    at::_foreach_mul_(first, options_.beta1);
    at::_foreach_add_(first, grads, 1 - options_.beta1);
    at::_foreach_mul_(second, options_.beta2);
    at::_foreach_addcmul_(second, grads, grads, 1 - options_.beta2);
    std::vector<Tensor> scales = at::_foreach_sqrt(second);
    at::_foreach_div_(scales, rates.correction2);
    at::_foreach_add_(scales, options_.epsilon);
    at::_foreach_addcdiv_(weights, first, scales,
                          -rates.lr / rates.correction1);
    return;
  }
  if (options_.momentum > 0) {
    at::_foreach_mul_(first, options_.momentum);
    at::_foreach_add_(first, grads, 1);
    if (options_.nesterov) {
      at::_foreach_add_(grads, first, options_.momentum);
    } else {
      grads = first;
    }
  }
  at::_foreach_add_(weights, grads, -rates.lr);
}

std::map<std::string, Tensor> Optimizer::State() const {
  std::map<std::string, Tensor> state;
  state[kSteps] = torch::tensor(steps_, torch::kInt64);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (first_[i].defined()) state[kFirst + parameters_[i].name] = first_[i];
    if (second_[i].defined()) state[kSecond + parameters_[i].name] = second_[i];
  }
  return state;
}

absl::Status Optimizer::Restore(const std::map<std::string, Tensor>& state) {
  auto steps = state.find(kSteps);
  if (steps == state.end()) {
    return MakeError(absl::StatusCode::kDataLoss, "CHECKPOINT_CORRUPT",
                     "the checkpoint has no optimizer state");
  }
  steps_ = steps->second.item<int64_t>();
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& weight = parameters_[i].tensor;
    for (auto& [prefix, moments] :
         {std::pair<const char*, std::vector<Tensor>*>{kFirst, &first_},
          {kSecond, &second_}}) {
      auto it = state.find(prefix + parameters_[i].name);
      (*moments)[i] = Tensor();
      if (it == state.end()) continue;
      if (it->second.sizes() != weight.sizes()) {
        return MakeError(absl::StatusCode::kDataLoss, "CHECKPOINT_CORRUPT",
                         absl::StrCat("the moments of '", parameters_[i].name,
                                      "' have another shape"));
      }
      (*moments)[i] = at::empty_like(weight.detach()).copy_(it->second);
    }
  }
  return absl::OkStatus();
}

}  // namespace condense::training
