// Pooling over one to three spatial axes.

#include <algorithm>
#include <limits>

#include "workers/engine/graph/window.h"
#include "workers/engine/runtime/padding.h"
#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using graph::Node;
using graph::Window;
using graph::WindowOf;
using torch::Tensor;
using Sizes = std::vector<int64_t>;

Window PoolWindow(const Node& node, const Tensor& x) {
  return WindowOf(node, {}, SpatialOf(x));
}

// x padded on both sides of every spatial axis, and behind so far that the last
// window of ceil_mode fits.
Tensor PadWhole(const Tensor& x, const Window& window, const Sizes& out,
                double value) {
  Sizes pads;
  for (size_t i = out.size(); i > 0; --i) {
    const size_t a = i - 1;
    const int64_t extent = (window.kernel[a] - 1) * window.dilations[a] + 1;
    const int64_t reach = (out[a] - 1) * window.strides[a] + extent;
    pads.push_back(window.pads_begin[a]);
    pads.push_back(
        std::max<int64_t>(0, reach - x.size(a + 2) - window.pads_begin[a]));
  }
  const bool none =
      std::all_of(pads.begin(), pads.end(), [](int64_t p) { return p == 0; });
  return none ? x : at::constant_pad_nd(x, pads, value);
}

Sizes OutputSizes(const Window& window, const Tensor& x) {
  Sizes out;
  for (size_t i = 0; i < window.kernel.size(); ++i) {
    out.push_back(window.OutputSize(i, x.size(i + 2)));
  }
  return out;
}

bool EvenPads(const Window& window) {
  if (window.pads_begin != window.pads_end) return false;
  for (size_t i = 0; i < window.kernel.size(); ++i) {
    if (window.pads_begin[i] * 2 > window.kernel[i]) return false;
  }
  return true;
}

// Every window as a last axis of its own: [N, C, out..., kernel elements].
Tensor Windows(Tensor x, const Window& window, const Sizes& out) {
  const int64_t spatial = static_cast<int64_t>(out.size());
  for (int64_t a = 0; a < spatial; ++a) {
    const int64_t extent = (window.kernel[a] - 1) * window.dilations[a] + 1;
    x = x.unfold(a + 2, extent, window.strides[a]);
    x = at::slice(x, -1, 0, extent, window.dilations[a]);
    x = at::slice(x, a + 2, 0, out[a]);
  }
  return x.flatten(2 + spatial);
}

// The position in the input of each window's greatest element, as ONNX counts
// them: row-major over the whole tensor.
Tensor FlatIndices(const Tensor& x, const Window& window, const Sizes& out,
                   bool column_major) {
  int64_t area = 1;
  for (size_t i = 2; i < static_cast<size_t>(x.dim()); ++i) area *= x.size(i);
  const auto whole = x.options().dtype(torch::kInt64);
  Tensor plane = at::arange(area, whole);
  if (column_major) {
    Sizes reversed(x.sizes().rbegin(), x.sizes().rend() - 2);
    plane = plane.reshape(reversed);
    Sizes order;
    for (int64_t i = plane.dim(); i > 0; --i) order.push_back(i - 1);
    plane = plane.permute(order);
  } else {
    plane = plane.reshape(Sizes(x.sizes().begin() + 2, x.sizes().end()));
  }
  plane = plane.unsqueeze(0).unsqueeze(0).to(torch::kFloat64);
  const Tensor numbers =
      Windows(PadWhole(plane, window, out, -1), window, out).to(torch::kInt64);
  const Tensor values =
      Windows(PadWhole(x.to(torch::kFloat64), window, out,
                       -std::numeric_limits<double>::infinity()),
              window, out);
  const Tensor best = at::argmax(values, -1, true);
  Tensor picked = at::gather(numbers.expand(values.sizes()), -1, best);
  picked = picked.squeeze(-1);
  const int64_t planes = x.size(0) * x.size(1);
  Sizes shape(x.dim(), 1);
  shape[0] = x.size(0);
  shape[1] = x.size(1);
  return picked + (at::arange(planes, whole) * area).reshape(shape);
}

Tensor FastMaxPool(const Tensor& x, const Window& w) {
  const Sizes& pads = w.pads_begin;
  switch (x.dim()) {
    case 3:
      return at::max_pool1d(x, w.kernel, w.strides, pads, w.dilations,
                            w.ceil_mode);
    case 4:
      return at::max_pool2d(x, w.kernel, w.strides, pads, w.dilations,
                            w.ceil_mode);
    default:
      return at::max_pool3d(x, w.kernel, w.strides, pads, w.dilations,
                            w.ceil_mode);
  }
}

absl::StatusOr<Kernel> MaxPool(const KernelContext& c) {
  const Node node = c.node;
  const bool column_major = node.Int("storage_order", 0) != 0;
  const bool indices = node.outputs.size() > 1;
  return Kernel([=](const Call& call) {
    const Tensor& x = call.in[0];
    const Window window = PoolWindow(node, x);
    const bool fast = EvenPads(window) && x.is_floating_point() && x.dim() <= 5;
    const Sizes out = OutputSizes(window, x);
    std::vector<Tensor> results;
    if (fast) {
      results.push_back(FastMaxPool(x, window));
    } else {
      const double lowest = x.is_floating_point()
                                ? -std::numeric_limits<double>::infinity()
                            : x.scalar_type() == torch::kUInt8 ? 0
                                                               : -128;
      results.push_back(
          Windows(PadWhole(x, window, out, lowest), window, out).amax(-1));
    }
    if (indices) {
      results.push_back(FlatIndices(x, window, out, column_major));
    }
    return results;
  });
}

Tensor FastAveragePool(const Tensor& x, const Window& w, bool count_pads) {
  const Sizes& pads = w.pads_begin;
  switch (x.dim()) {
    case 3:
      return at::avg_pool1d(x, w.kernel, w.strides, pads, w.ceil_mode,
                            count_pads);
    case 4:
      return at::avg_pool2d(x, w.kernel, w.strides, pads, w.ceil_mode,
                            count_pads);
    default:
      return at::avg_pool3d(x, w.kernel, w.strides, pads, w.ceil_mode,
                            count_pads);
  }
}

// How many elements each window's average is over: those of the input, and
// those of the padding if it counts (what ceil_mode adds behind never does).
Tensor Counts(const Tensor& x, const Window& window, const Sizes& out,
              bool count_pads) {
  Sizes shape = x.sizes().vec();
  shape[0] = shape[1] = 1;
  Tensor ones = at::ones(shape, x.options());
  if (count_pads) {
    Sizes pads;
    for (size_t i = out.size(); i > 0; --i) {
      pads.push_back(window.pads_begin[i - 1]);
      pads.push_back(window.pads_end[i - 1]);
    }
    ones = at::constant_pad_nd(ones, pads, 1);
    Window rest = window;
    rest.pads_begin.assign(out.size(), 0);
    return Windows(PadWhole(ones, rest, out, 0), rest, out).sum(-1);
  }
  return Windows(PadWhole(ones, window, out, 0), window, out).sum(-1);
}

absl::StatusOr<Kernel> AveragePool(const KernelContext& c) {
  const Node node = c.node;
  const bool count_pads = node.Int("count_include_pad", 0) != 0;
  return Kernel([node, count_pads](const Call& call) {
    const Tensor& x = call.in[0];
    const Window window = PoolWindow(node, x);
    const bool dilated =
        std::any_of(window.dilations.begin(), window.dilations.end(),
                    [](int64_t d) { return d != 1; });
    if (EvenPads(window) && !dilated && x.dim() <= 5) {
      return std::vector<Tensor>{FastAveragePool(x, window, count_pads)};
    }
    const Sizes out = OutputSizes(window, x);
    const Tensor sums =
        Windows(PadWhole(x, window, out, 0), window, out).sum(-1);
    return std::vector<Tensor>{sums / Counts(x, window, out, count_pads)};
  });
}

absl::StatusOr<Kernel> LpPool(const KernelContext& c) {
  const Node node = c.node;
  const double p = static_cast<double>(node.Int("p", 2));
  return Kernel([node, p](const Call& call) {
    const Tensor& x = call.in[0];
    const Window window = PoolWindow(node, x);
    const Sizes out = OutputSizes(window, x);
    const Tensor powers =
        Windows(PadWhole(at::pow(at::abs(x), p), window, out, 0), window, out);
    return std::vector<Tensor>{at::pow(powers.sum(-1), 1.0 / p)};
  });
}

// Elements go back to where MaxPool found them.
absl::StatusOr<Kernel> MaxUnpool(const KernelContext& c) {
  const Node node = c.node;
  const IntsInput output_shape = c.Ints(2);
  return Kernel([=](const Call& call) {
    const Tensor& x = call.in[0];
    const Window window = WindowOf(node, {}, SpatialOf(x));
    Sizes natural = {x.size(0), x.size(1)};
    for (size_t i = 0; i < window.kernel.size(); ++i) {
      natural.push_back((x.size(i + 2) - 1) * window.strides[i] -
                        window.pads_begin[i] - window.pads_end[i] +
                        window.kernel[i]);
    }
    int64_t count = 1;
    for (int64_t size : natural) count *= size;
    const Tensor flat = at::zeros({count}, x.options())
                            .scatter(0, call.in[1].flatten(), x.flatten());
    Tensor y = flat.reshape(natural);
    if (!output_shape.given()) return std::vector<Tensor>{y};
    const Sizes wanted = output_shape(call);
    Sizes pads;
    for (size_t i = wanted.size(); i > 2; --i) {
      pads.push_back(0);
      pads.push_back(wanted[i - 1] - natural[i - 1]);
    }
    return std::vector<Tensor>{at::constant_pad_nd(y, pads, 0)};
  });
}

Sizes SpatialAxes(const Tensor& x) {
  Sizes axes;
  for (int64_t i = 2; i < x.dim(); ++i) axes.push_back(i);
  return axes;
}

absl::StatusOr<Kernel> GlobalAveragePool(const KernelContext&) {
  return Kernel([](const Call& call) {
    return std::vector<Tensor>{call.in[0].mean(SpatialAxes(call.in[0]), true)};
  });
}

absl::StatusOr<Kernel> GlobalMaxPool(const KernelContext&) {
  return Kernel([](const Call& call) {
    return std::vector<Tensor>{call.in[0].amax(SpatialAxes(call.in[0]), true)};
  });
}

absl::StatusOr<Kernel> GlobalLpPool(const KernelContext& c) {
  const double p = static_cast<double>(c.node.Int("p", 2));
  return Kernel([p](const Call& call) {
    const Tensor powers = at::pow(at::abs(call.in[0]), p);
    return std::vector<Tensor>{
        at::pow(powers.sum(SpatialAxes(powers), true), 1.0 / p)};
  });
}

}  // namespace

void AddPoolingKernels(KernelTable* table) {
  (*table)["AveragePool"] = AveragePool;
  (*table)["GlobalAveragePool"] = GlobalAveragePool;
  (*table)["GlobalLpPool"] = GlobalLpPool;
  (*table)["GlobalMaxPool"] = GlobalMaxPool;
  (*table)["LpPool"] = LpPool;
  (*table)["MaxPool"] = MaxPool;
  (*table)["MaxUnpool"] = MaxUnpool;
}

}  // namespace condense::runtime
