// Conv, ConvTranspose, Gemm, MatMul, pooling and normalisation.

#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/graph/window.h"
#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using graph::Node;
using graph::Window;
using graph::WindowOf;

std::vector<int64_t> SpatialOf(const torch::Tensor& x) {
  return {x.sizes().begin() + 2, x.sizes().end()};
}

// LibTorch pads both sides alike; what is left over is padded explicitly.
torch::Tensor PadRest(const torch::Tensor& x, const Window& window,
                      std::vector<int64_t>* padding, double value) {
  padding->clear();
  std::vector<int64_t> rest;
  bool any = false;
  for (size_t i = 0; i < window.pads_begin.size(); ++i) {
    const int64_t both = std::min(window.pads_begin[i], window.pads_end[i]);
    padding->push_back(both);
    any |= window.pads_begin[i] != window.pads_end[i];
  }
  if (!any) return x;
  for (size_t i = window.pads_begin.size(); i > 0; --i) {
    rest.push_back(window.pads_begin[i - 1] - (*padding)[i - 1]);
    rest.push_back(window.pads_end[i - 1] - (*padding)[i - 1]);
  }
  return at::constant_pad_nd(x, rest, value);
}

absl::StatusOr<Kernel> Conv(const KernelContext& c) {
  const Node node = c.node;
  const int64_t group = node.Int("group", 1);
  return Kernel([node, group](const Call& call) {
    const torch::Tensor &x = call.in[0], &w = call.in[1];
    const torch::Tensor bias =
        call.in.size() > 2 ? call.in[2] : torch::Tensor();
    const Window window = WindowOf(node, SpatialOf(w), SpatialOf(x));
    std::vector<int64_t> padding;
    const torch::Tensor padded = PadRest(x, window, &padding, 0);
    return std::vector<torch::Tensor>{at::convolution(
        padded, w, bias, window.strides, padding, window.dilations, false,
        std::vector<int64_t>(padding.size(), 0), group)};
  });
}

absl::StatusOr<Kernel> ConvTranspose(const KernelContext& c) {
  const Node node = c.node;
  const int64_t group = node.Int("group", 1);
  return Kernel([node, group](const Call& call) {
    const torch::Tensor &x = call.in[0], &w = call.in[1];
    const torch::Tensor bias =
        call.in.size() > 2 ? call.in[2] : torch::Tensor();
    const Window window = WindowOf(node, SpatialOf(w), SpatialOf(x));
    std::vector<int64_t> extra = node.Ints("output_padding");
    extra.resize(window.kernel.size(), 0);
    return std::vector<torch::Tensor>{
        at::convolution(x, w, bias, window.strides, window.pads_begin,
                        window.dilations, true, extra, group)};
  });
}

absl::StatusOr<Kernel> MaxPool(const KernelContext& c) {
  if (c.RankOf(0) != 4 && c.RankOf(0) != -1) {
    return MakeError(absl::StatusCode::kUnimplemented, "NO_KERNEL",
                     "MaxPool is run on images only");
  }
  const Node node = c.node;
  return Kernel([node](const Call& call) {
    const torch::Tensor& x = call.in[0];
    const Window window = WindowOf(node, {}, SpatialOf(x));
    std::vector<int64_t> padding;
    const torch::Tensor padded =
        PadRest(x, window, &padding, -std::numeric_limits<double>::infinity());
    return std::vector<torch::Tensor>{
        at::max_pool2d(padded, window.kernel, window.strides, padding,
                       window.dilations, window.ceil_mode)};
  });
}

absl::StatusOr<Kernel> AveragePool(const KernelContext& c) {
  const Node node = c.node;
  if (c.RankOf(0) != 4 && c.RankOf(0) != -1) {
    return MakeError(absl::StatusCode::kUnimplemented, "NO_KERNEL",
                     "AveragePool is run on images only");
  }
  const bool count_pads = node.Int("count_include_pad", 0) != 0;
  return Kernel([node, count_pads](const Call& call) {
    const torch::Tensor& x = call.in[0];
    const Window window = WindowOf(node, {}, SpatialOf(x));
    std::vector<int64_t> padding;
    const auto pool = [&](const torch::Tensor& in) {
      const torch::Tensor padded = PadRest(in, window, &padding, 0);
      return at::avg_pool2d(padded, window.kernel, window.strides, padding,
                            window.ceil_mode, count_pads);
    };
    const bool uneven = window.pads_begin != window.pads_end;
    if (!uneven || count_pads) return std::vector<torch::Tensor>{pool(x)};
    // The share of each window that is no padding: LibTorch cannot tell the
    // pixels that were added on one side only.
    const torch::Tensor inside =
        pool(torch::ones({1, 1, x.size(2), x.size(3)}, x.options()));
    return std::vector<torch::Tensor>{pool(x) / inside};
  });
}

std::vector<int64_t> SpatialAxes(const torch::Tensor& x) {
  std::vector<int64_t> axes;
  for (int64_t i = 2; i < x.dim(); ++i) axes.push_back(i);
  return axes;
}

absl::StatusOr<Kernel> GlobalAveragePool(const KernelContext&) {
  return Kernel([](const Call& call) {
    return std::vector<torch::Tensor>{
        call.in[0].mean(SpatialAxes(call.in[0]), true)};
  });
}

absl::StatusOr<Kernel> GlobalMaxPool(const KernelContext&) {
  return Kernel([](const Call& call) {
    return std::vector<torch::Tensor>{
        call.in[0].amax(SpatialAxes(call.in[0]), true)};
  });
}

absl::StatusOr<Kernel> Gemm(const KernelContext& c) {
  const bool ta = c.node.Int("transA", 0), tb = c.node.Int("transB", 0);
  const double alpha = c.node.Float("alpha", 1), beta = c.node.Float("beta", 1);
  return Kernel([=](const Call& call) {
    const torch::Tensor a = ta ? call.in[0].t() : call.in[0];
    const torch::Tensor b = tb ? call.in[1].t() : call.in[1];
    if (call.in.size() > 2 && call.in[2].defined()) {
      return std::vector<torch::Tensor>{
          at::addmm(call.in[2], a, b, beta, alpha)};
    }
    torch::Tensor y = at::mm(a, b);
    if (alpha != 1) y = y * alpha;
    return std::vector<torch::Tensor>{y};
  });
}

absl::StatusOr<Kernel> MatMul(const KernelContext&) {
  return Kernel([](const Call& call) {
    return std::vector<torch::Tensor>{at::matmul(call.in[0], call.in[1])};
  });
}

absl::StatusOr<Kernel> BatchNorm(const KernelContext& c) {
  const double epsilon = c.node.Float("epsilon", 1e-5f);
  // ONNX weighs the old statistics, LibTorch the new ones.
  const double momentum = 1.0 - c.node.Float("momentum", 0.9f);
  return Kernel([=](const Call& call) {
    return std::vector<torch::Tensor>{
        at::batch_norm(call.in[0], call.in[1], call.in[2], call.in[3],
                       call.in[4], call.training, momentum, epsilon, false)};
  });
}

absl::StatusOr<Kernel> InstanceNorm(const KernelContext& c) {
  const double epsilon = c.node.Float("epsilon", 1e-5f);
  return Kernel([=](const Call& call) {
    return std::vector<torch::Tensor>{at::instance_norm(
        call.in[0], call.in[1], call.in[2], {}, {}, true, 0.1, epsilon, false)};
  });
}

absl::StatusOr<Kernel> LayerNorm(const KernelContext& c) {
  const double epsilon = c.node.Float("epsilon", 1e-5f);
  const int64_t axis = c.node.Int("axis", -1);
  return Kernel([=](const Call& call) {
    const torch::Tensor& x = call.in[0];
    const int64_t from = axis < 0 ? axis + x.dim() : axis;
    const std::vector<int64_t> shape(x.sizes().begin() + from, x.sizes().end());
    const torch::Tensor bias =
        call.in.size() > 2 ? call.in[2] : torch::Tensor();
    return std::vector<torch::Tensor>{
        at::layer_norm(x, shape, call.in[1], bias, epsilon)};
  });
}

}  // namespace

void AddConvolutionKernels(KernelTable* table) {
  (*table)["Conv"] = Conv;
  (*table)["ConvTranspose"] = ConvTranspose;
  (*table)["MaxPool"] = MaxPool;
  (*table)["AveragePool"] = AveragePool;
  (*table)["GlobalAveragePool"] = GlobalAveragePool;
  (*table)["GlobalMaxPool"] = GlobalMaxPool;
  (*table)["Gemm"] = Gemm;
  (*table)["MatMul"] = MatMul;
  (*table)["BatchNormalization"] = BatchNorm;
  (*table)["InstanceNormalization"] = InstanceNorm;
  (*table)["LayerNormalization"] = LayerNorm;
}

}  // namespace condense::runtime
