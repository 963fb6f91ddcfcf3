// Normalisation by statistics.

#include <algorithm>

#include "workers/engine/runtime/step.h"
#include "workers/engine/runtime/sync_batch_norm.h"

namespace condense::runtime {
namespace {

using torch::Tensor;
using Sizes = std::vector<int64_t>;

absl::StatusOr<Kernel> BatchNorm(const KernelContext& c) {
  const double epsilon = c.node.Float("epsilon", 1e-5f);
  // ONNX weighs the old statistics, LibTorch the new ones.
  const double momentum = 1.0 - c.node.Float("momentum", 0.9f);
  return Kernel([=](const Call& call) {
    const Tensor& x = call.in[0];
    const AddUp* add_up = SyncStatistics::Current();
    if (call.training && add_up != nullptr) {
      const bool low = x.scalar_type() == torch::kBFloat16 ||
                       x.scalar_type() == torch::kFloat16;
      // A replay's batch has been counted: it goes to copies.
      const Tensor y =
          SyncBatchNorm(low ? x.to(torch::kFloat32) : x, call.in[1], call.in[2],
                        call.replay ? call.in[3].clone() : call.in[3],
                        call.replay ? call.in[4].clone() : call.in[4], momentum,
                        epsilon, *add_up);
      return std::vector<Tensor>{low ? y.to(x.scalar_type()) : y};
    }
    // So here; and one value has no unbiased variance.
    const bool keep = !call.training ||
                      (!call.replay && x.dim() > 1 && x.numel() > x.size(1));
    return std::vector<Tensor>{
        at::batch_norm(x, call.in[1], call.in[2], keep ? call.in[3] : Tensor(),
                       keep ? call.in[4] : Tensor(), call.training, momentum,
                       epsilon, at::globalContext().userEnabledCuDNN())};
  });
}

absl::StatusOr<Kernel> InstanceNorm(const KernelContext& c) {
  const double epsilon = c.node.Float("epsilon", 1e-5f);
  return Kernel([=](const Call& call) {
    return std::vector<Tensor>{
        at::instance_norm(call.in[0], call.in[1], call.in[2], {}, {}, true, 0.1,
                          epsilon, at::globalContext().userEnabledCuDNN())};
  });
}

// Scale and bias per channel, as opset 21 has them.
absl::StatusOr<Kernel> GroupNorm(const KernelContext& c) {
  const double epsilon = c.node.Float("epsilon", 1e-5f);
  const int64_t groups = c.node.Int("num_groups", 1);
  return Kernel([=](const Call& call) {
    return std::vector<Tensor>{at::group_norm(call.in[0], groups, call.in[1],
                                              call.in[2], epsilon, false)};
  });
}

absl::StatusOr<Kernel> LayerNorm(const KernelContext& c) {
  const double epsilon = c.node.Float("epsilon", 1e-5f);
  const int64_t axis = c.node.Int("axis", -1);
  const bool statistics = c.node.outputs.size() > 1;
  return Kernel([=](const Call& call) {
    const Tensor& x = call.in[0];
    const int64_t from = WrapAxis(axis, x.dim());
    const Sizes shape(x.sizes().begin() + from, x.sizes().end());
    // Scale and bias may broadcast, which LibTorch's layer_norm does not know.
    const bool plain =
        call.in[1].sizes() == at::IntArrayRef(shape) &&
        (!call.Has(2) || call.in[2].sizes() == call.in[1].sizes());
    if (plain && !statistics) {
      return std::vector<Tensor>{
          at::layer_norm(x, shape, call.in[1], call.Optional(2), epsilon)};
    }
    auto [y, mean, inverse] =
        plain ? at::native_layer_norm(x, shape, call.in[1], call.Optional(2),
                                      epsilon)
              : at::native_layer_norm(x, shape, {}, {}, epsilon);
    if (!plain) {
      y = y * call.in[1];
      if (call.Has(2)) y = y + call.in[2];
    }
    return std::vector<Tensor>{y, mean, inverse};
  });
}

absl::StatusOr<Kernel> RmsNorm(const KernelContext& c) {
  const double epsilon = c.node.Float("epsilon", 1e-5f);
  const int64_t axis = c.node.Int("axis", -1);
  return Kernel([=](const Call& call) {
    const Tensor& x = call.in[0];
    Sizes axes;
    for (int64_t i = WrapAxis(axis, x.dim()); i < x.dim(); ++i) {
      axes.push_back(i);
    }
    const Tensor square = at::mean(x * x, axes, true);
    return std::vector<Tensor>{x * at::rsqrt(square + epsilon) * call.in[1]};
  });
}

absl::StatusOr<Kernel> LpNormalization(const KernelContext& c) {
  const int64_t axis = c.node.Int("axis", -1);
  const int64_t p = c.node.Int("p", 2);
  return Kernel([=](const Call& call) {
    const Tensor norm = at::norm(call.in[0], p, axis, true);
    // Where all elements are zero, the result is zero.
    return std::vector<Tensor>{call.in[0] /
                               at::where(norm == 0, at::ones_like(norm), norm)};
  });
}

absl::StatusOr<Kernel> MeanVariance(const KernelContext& c) {
  const Sizes axes = c.node.Ints("axes", {0, 2, 3});
  return Kernel([axes](const Call& call) {
    const Tensor centred = call.in[0] - call.in[0].mean(axes, true);
    const Tensor deviation = at::sqrt(at::mean(centred * centred, axes, true));
    return std::vector<Tensor>{centred / (deviation + 1e-9)};
  });
}

// Over `size` neighbouring channels, more of them behind when size is even.
absl::StatusOr<Kernel> Lrn(const KernelContext& c) {
  const int64_t size = c.node.Int("size", 1);
  const double alpha = c.node.Float("alpha", 1e-4f);
  const double beta = c.node.Float("beta", 0.75f);
  const double bias = c.node.Float("bias", 1.0f);
  return Kernel([=](const Call& call) {
    const Tensor& x = call.in[0];
    Sizes pads(2 * (x.dim() - 1), 0);
    pads[pads.size() - 2] = (size - 1) / 2;
    pads[pads.size() - 1] = size - 1 - (size - 1) / 2;
    const Tensor sum =
        at::constant_pad_nd(x * x, pads, 0).unfold(1, size, 1).sum(-1);
    return std::vector<Tensor>{
        x / at::pow(bias + sum * (alpha / static_cast<double>(size)), beta)};
  });
}

// Identity, unless the node itself says that the model trains.
absl::StatusOr<Kernel> Dropout(const KernelContext&) {
  return Kernel([](const Call& call) {
    return std::vector<Tensor>{call.in[0],
                               at::ones_like(call.in[0], torch::kBool)};
  });
}

}  // namespace

void AddNormalizationKernels(KernelTable* table) {
  (*table)["BatchNormalization"] = BatchNorm;
  (*table)["Dropout"] = Dropout;
  (*table)["GroupNormalization"] = GroupNorm;
  (*table)["InstanceNormalization"] = InstanceNorm;
  (*table)["LRN"] = Lrn;
  (*table)["LayerNormalization"] = LayerNorm;
  (*table)["LpNormalization"] = LpNormalization;
  (*table)["MeanVarianceNormalization"] = MeanVariance;
  (*table)["RMSNormalization"] = RmsNorm;
}

}  // namespace condense::runtime
