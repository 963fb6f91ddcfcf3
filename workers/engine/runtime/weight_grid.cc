#include "workers/engine/runtime/weight_grid.h"

#include <utility>
#include <vector>

namespace condense::runtime {
namespace {

using torch::Tensor;

// Below this the reciprocal of a scale would overflow.
constexpr double kScaleMin = 1e-30;

struct Extremes {
  Tensor low;
  Tensor high;
};

// Of what shares a scale, in the shape of the scales.
Extremes ExtremesOf(const Tensor& w, const FakeQuantizeOptions& options) {
  const int64_t axis = options.axis;
  if (axis < 0) return {w.min(), w.max()};
  if (options.block == 0) {
    std::vector<int64_t> others;
    for (int64_t i = 0; i < w.dim(); ++i) {
      if (i != axis) others.push_back(i);
    }
    return others.empty() ? Extremes{w, w}
                          : Extremes{w.amin(others), w.amax(others)};
  }
  const Tensor moved = w.movedim(axis, -1);
  const int64_t count = moved.size(-1);
  const int64_t blocks = (count + options.block - 1) / options.block;
  // Zeros fill the last block: every grid holds zero.
  const Tensor padded =
      at::constant_pad_nd(moved, {0, blocks * options.block - count});
  std::vector<int64_t> sizes = padded.sizes().vec();
  sizes.back() = blocks;
  sizes.push_back(options.block);
  const Tensor split = padded.reshape(sizes);
  return {split.amin(-1).movedim(-1, axis), split.amax(-1).movedim(-1, axis)};
}

}  // namespace

FittedGrid FitGrid(const Tensor& w, const FakeQuantizeOptions& options) {
  const at::NoGradGuard no_grad;
  const Extremes extremes = ExtremesOf(w.detach().to(torch::kFloat32), options);
  Tensor low = extremes.low.to(torch::kFloat64).clamp_max(0);
  Tensor high = extremes.high.to(torch::kFloat64).clamp_min(0);
  const double qmin = static_cast<double>(options.qmin);
  const double qmax = static_cast<double>(options.qmax);
  const bool symmetric = options.qmin < 0;
  const double steps = symmetric ? qmax : qmax - qmin;
  Tensor span = symmetric ? at::maximum(low.neg(), high) : high - low;
  span = at::where(span < kScaleMin * steps, torch::ones_like(span), span);
  FittedGrid grid;
  grid.scale = (span / steps).to(torch::kFloat32).contiguous();
  const Tensor zero = symmetric ? torch::zeros_like(span)
                                : (qmin - low / grid.scale.to(torch::kFloat64))
                                      .round()
                                      .clamp(qmin, qmax);
  grid.zero_point = zero.to(torch::kInt32).contiguous();
  return grid;
}

Tensor SpreadGrid(const Tensor& value, const Tensor& x,
                  const FakeQuantizeOptions& options) {
  if (value.numel() == 1) return value.reshape({});
  if (options.block > 0) {
    return at::slice(at::repeat_interleave(value, options.block, options.axis),
                     options.axis, 0, x.size(options.axis));
  }
  std::vector<int64_t> shape(x.dim(), 1);
  shape[options.axis] = value.numel();
  return value.reshape(shape);
}

Tensor AsRows(const Tensor& w) { return w.reshape({w.size(0), -1}); }

}  // namespace condense::runtime
