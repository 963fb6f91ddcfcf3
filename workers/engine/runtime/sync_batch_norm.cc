#include "workers/engine/runtime/sync_batch_norm.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace condense::runtime {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// [C] so that it broadcasts over [N, C, ...].
Tensor Wide(const Tensor& value, const Tensor& like) {
  std::vector<int64_t> shape(like.dim(), 1);
  shape[1] = -1;
  return value.view(shape);
}

// All axes but the channels'.
std::vector<int64_t> Others(const Tensor& x) {
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < x.dim(); ++i) {
    if (i != 1) axes.push_back(i);
  }
  return axes;
}

class SyncBatchNormFunction
    : public torch::autograd::Function<SyncBatchNormFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x,
                        const Tensor& scale, const Tensor& shift,
                        Tensor running_mean, Tensor running_var,
                        double momentum, double epsilon, const AddUp* add_up) {
    const int64_t channels = x.size(1);
    const double count =
        static_cast<double>(x.numel()) / static_cast<double>(channels);
    auto [var, mean] = at::var_mean(x, Others(x), /*unbiased=*/false);
    mean = mean.to(torch::kFloat64);
    var = var.to(torch::kFloat64);
    // Sums of values, of squares, and how many they are.
    const Tensor sums = at::cat({mean * count, (var + mean * mean) * count,
                                 at::full({1}, count, mean.options())});
    (*add_up)(sums);
    const double all = sums[2 * channels].item<double>();
    mean = sums.narrow(0, 0, channels) / all;
    var = (sums.narrow(0, channels, channels) / all - mean * mean).clamp_min(0);
    running_mean.mul_(1 - momentum)
        .add_(mean.to(running_mean.scalar_type()), momentum);
    running_var.mul_(1 - momentum)
        .add_((var * (all / std::max(1.0, all - 1)))
                  .to(running_var.scalar_type()),
              momentum);
    const Tensor inverse = at::rsqrt(var + epsilon).to(x.scalar_type());
    mean = mean.to(x.scalar_type());
    context->save_for_backward({x, scale, mean, inverse});
    context->saved_data["all"] = all;
    context->saved_data["add_up"] = reinterpret_cast<int64_t>(add_up);
    const Tensor factor = inverse * scale;
    return at::addcmul(Wide(shift - mean * factor, x), x, Wide(factor, x));
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &scale = saved[1], &mean = saved[2],
                 &inverse = saved[3];
    const double all = context->saved_data["all"].toDouble();
    const AddUp& add_up =
        *reinterpret_cast<const AddUp*>(context->saved_data["add_up"].toInt());
    const Tensor& grad = grads[0];
    const Tensor normal = (x - Wide(mean, x)) * Wide(inverse, x);
    const Tensor grad_shift = grad.sum(Others(x));
    const Tensor grad_scale = (grad * normal).sum(Others(x));
    const Tensor sums = at::cat({grad_shift, grad_scale}).to(torch::kFloat64);
    add_up(sums);
    const Tensor means = (sums / all).to(x.scalar_type());
    const int64_t channels = x.size(1);
    const Tensor grad_x =
        (grad - Wide(means.narrow(0, 0, channels), x) -
         normal * Wide(means.narrow(0, channels, channels), x)) *
        Wide(inverse * scale, x);
    return {grad_x,   grad_scale, grad_shift, Tensor(),
            Tensor(), Tensor(),   Tensor(),   Tensor()};
  }
};

thread_local const AddUp* current = nullptr;

}  // namespace

SyncStatistics::SyncStatistics(const AddUp* add_up) : outer_(current) {
  if (add_up != nullptr) current = add_up;
}

SyncStatistics::~SyncStatistics() { current = outer_; }

const AddUp* SyncStatistics::Current() { return current; }

Tensor SyncBatchNorm(const Tensor& x, const Tensor& scale, const Tensor& shift,
                     Tensor running_mean, Tensor running_var, double momentum,
                     double epsilon, const AddUp& add_up) {
  return SyncBatchNormFunction::apply(x, scale, shift, std::move(running_mean),
                                      std::move(running_var), momentum, epsilon,
                                      &add_up);
}

}  // namespace condense::runtime
