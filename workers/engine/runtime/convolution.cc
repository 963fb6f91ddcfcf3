// Conv, ConvTranspose, Col2Im and Gemm.

#include "workers/engine/graph/window.h"
#include "workers/engine/runtime/padding.h"
#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using graph::Node;
using graph::Window;
using graph::WindowOf;
using torch::Tensor;

// The window, bound once where neither the input's sizes nor a computed weight
// have a say.
std::optional<Window> FixedWindow(const KernelContext& c) {
  const graph::Tensor* w = c.graph.ConstantOf(c.node.input(1));
  const std::string auto_pad = c.node.String("auto_pad", "NOTSET");
  if (w == nullptr || w->dims().size() < 3 ||
      (auto_pad != "NOTSET" && auto_pad != "VALID")) {
    return std::nullopt;
  }
  const std::vector<int64_t> spatial(w->dims().begin() + 2, w->dims().end());
  return WindowOf(c.node, spatial, spatial);
}

absl::StatusOr<Kernel> Conv(const KernelContext& c) {
  const Node node = c.node;
  const int64_t group = node.Int("group", 1);
  const std::optional<Window> fixed = FixedWindow(c);
  return Kernel([node, group, fixed](const Call& call) {
    const Tensor &x = call.in[0], &w = call.in[1];
    const Window window =
        fixed ? *fixed : WindowOf(node, SpatialOf(w), SpatialOf(x));
    std::vector<int64_t> padding;
    const Tensor padded = PadRest(x, window, &padding, 0);
    return std::vector<Tensor>{at::convolution(
        padded, w, call.Optional(2), window.strides, padding, window.dilations,
        false, std::vector<int64_t>(padding.size(), 0), group)};
  });
}

// What the padding takes away at both ends, so that the output has the size
// that the node asks for.
struct Trim {
  std::vector<int64_t> begin;
  std::vector<int64_t> end;
};

Trim TrimOf(const Node& node, const Window& window,
            const std::vector<int64_t>& full) {
  Trim trim{window.pads_begin, window.pads_end};
  const std::vector<int64_t> wanted = node.Ints("output_shape");
  const std::string auto_pad = node.String("auto_pad", "NOTSET");
  const bool same = auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER";
  if (wanted.empty() && !same) return trim;
  for (size_t i = 0; i < full.size(); ++i) {
    const int64_t total = full[i] - wanted[wanted.size() - full.size() + i];
    // A larger output than the operator makes is filled up behind.
    const int64_t small = total > 0 ? total / 2 : 0;
    const bool upper = auto_pad == "SAME_UPPER";
    trim.begin[i] = upper || total < 0 ? small : total - small;
    trim.end[i] = total - trim.begin[i];
  }
  return trim;
}

// Sizes of the untrimmed output, output_padding included.
std::vector<int64_t> FullSizes(const Window& window, const Tensor& x,
                               const std::vector<int64_t>& extra) {
  std::vector<int64_t> full;
  for (size_t i = 0; i < window.kernel.size(); ++i) {
    full.push_back((x.size(i + 2) - 1) * window.strides[i] +
                   (window.kernel[i] - 1) * window.dilations[i] + 1 + extra[i]);
  }
  return full;
}

Node WithSameSizes(Node node, const Window& window, const Tensor& x) {
  const std::string auto_pad = node.String("auto_pad", "NOTSET");
  if ((auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") &&
      !node.Has("output_shape")) {
    std::vector<int64_t> sizes;
    for (size_t i = 0; i < window.kernel.size(); ++i) {
      sizes.push_back(x.size(i + 2) * window.strides[i]);
    }
    node.attrs["output_shape"] = sizes;
  }
  return node;
}

absl::StatusOr<Kernel> ConvTranspose(const KernelContext& c) {
  const Node node = c.node;
  const int64_t group = node.Int("group", 1);
  return Kernel([node, group](const Call& call) {
    const Tensor &x = call.in[0], &w = call.in[1];
    const Window window = WindowOf(node, SpatialOf(w), SpatialOf(x));
    std::vector<int64_t> extra = node.Ints("output_padding");
    extra.resize(window.kernel.size(), 0);
    const std::vector<int64_t> full = FullSizes(window, x, extra);
    const Trim trim = TrimOf(WithSameSizes(node, window, x), window, full);
    // LibTorch trims both ends alike; elsewhere it is done on the whole output.
    if (trim.begin == trim.end) {
      return std::vector<Tensor>{
          at::convolution(x, w, call.Optional(2), window.strides, trim.begin,
                          window.dilations, true, extra, group)};
    }
    Tensor y =
        at::convolution(x, w, call.Optional(2), window.strides,
                        std::vector<int64_t>(extra.size(), 0), window.dilations,
                        true, std::vector<int64_t>(extra.size(), 0), group);
    std::vector<int64_t> pads;
    for (size_t i = extra.size(); i > 0; --i) {
      pads.push_back(-trim.begin[i - 1]);
      pads.push_back(extra[i - 1] - trim.end[i - 1]);
    }
    return std::vector<Tensor>{at::constant_pad_nd(y, pads, 0)};
  });
}

absl::StatusOr<Kernel> Col2Im(const KernelContext& c) {
  const IntsInput image = c.Ints(1), block = c.Ints(2);
  const Node node = c.node;
  return Kernel([=](const Call& call) {
    const std::vector<int64_t> kernel = block(call);
    TORCH_CHECK(kernel.size() == 2, "Col2Im is run on images only");
    const Window window = WindowOf(node, kernel, image(call));
    std::vector<int64_t> padded = image(call);
    for (size_t i = 0; i < padded.size(); ++i) {
      padded[i] += window.pads_begin[i] + window.pads_end[i];
    }
    Tensor y = at::col2im(call.in[0], padded, kernel, window.dilations, {0, 0},
                          window.strides);
    for (size_t i = 0; i < padded.size(); ++i) {
      y = at::slice(y, i + 2, window.pads_begin[i],
                    padded[i] - window.pads_end[i]);
    }
    return std::vector<Tensor>{y};
  });
}

absl::StatusOr<Kernel> Gemm(const KernelContext& c) {
  const bool ta = c.node.Int("transA", 0), tb = c.node.Int("transB", 0);
  const double alpha = c.node.Float("alpha", 1), beta = c.node.Float("beta", 1);
  return Kernel([=](const Call& call) {
    const Tensor a = ta ? call.in[0].t() : call.in[0];
    const Tensor b = tb ? call.in[1].t() : call.in[1];
    if (call.Has(2)) {
      return std::vector<Tensor>{at::addmm(call.in[2], a, b, beta, alpha)};
    }
    Tensor y = at::mm(a, b);
    if (alpha != 1) y = y * alpha;
    return std::vector<Tensor>{y};
  });
}

}  // namespace

void AddConvolutionKernels(KernelTable* table) {
  (*table)["Col2Im"] = Col2Im;
  (*table)["Conv"] = Conv;
  (*table)["ConvTranspose"] = ConvTranspose;
  (*table)["Gemm"] = Gemm;
}

}  // namespace condense::runtime
