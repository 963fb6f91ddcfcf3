#include "workers/engine/runtime/fake_quantize_layout.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace condense::runtime {
namespace {

using torch::Tensor;

// Elements of a row where one scale serves all: what a thread takes at once.
constexpr int64_t kRowOfATensor = 16384;
// Shorter rows have a scale per element instead: a call per row would cost more
// than reading scales.
constexpr int64_t kRowMin = 16;

// Dimensions by falling stride: how the tensor lies in memory.
std::vector<int64_t> MemoryOrder(const Tensor& x) {
  std::vector<int64_t> order(x.dim());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    // A dimension of size one may have any stride.
    if (x.size(a) == 1 || x.size(b) == 1) return false;
    return x.stride(a) > x.stride(b);
  });
  return order;
}

// Elements before, along and behind the axis, as they lie in memory.
struct Around {
  int64_t outer = 1;
  int64_t dim = 1;
  int64_t inner = 1;
};

Around AroundAxis(const Tensor& x, const std::vector<int64_t>& order,
                  int64_t axis) {
  Around around;
  bool behind = false;
  for (int64_t at : order) {
    if (at == axis) {
      around.dim = x.size(at);
      behind = true;
    } else {
      (behind ? around.inner : around.outer) *= x.size(at);
    }
  }
  return around;
}

FakeQuantizeLayout PerTensor(int64_t n) {
  FakeQuantizeLayout layout;
  layout.step = std::min(kRowOfATensor, std::max<int64_t>(1, n));
  layout.count = (n + layout.step - 1) / layout.step;
  layout.per_group = std::max<int64_t>(1, layout.count);
  layout.group_size = n;
  return layout;
}

FakeQuantizeLayout PerChannel(const Around& around) {
  FakeQuantizeLayout layout;
  layout.group_size = around.dim * around.inner;
  layout.each = around.inner < kRowMin && around.outer > 1;
  layout.per_group = layout.each ? 1 : around.dim;
  layout.step = layout.each ? layout.group_size : around.inner;
  layout.count = around.outer * layout.per_group;
  layout.scale_step = layout.each ? 0 : 1;
  return layout;
}

FakeQuantizeLayout PerBlock(const Around& around, int64_t block) {
  const int64_t blocks = (around.dim + block - 1) / block;
  FakeQuantizeLayout layout;
  layout.each = around.inner > 1;
  layout.group_size = around.dim * around.inner;
  layout.per_group = layout.each ? around.dim : blocks;
  layout.step = layout.each ? around.inner : block;
  layout.count = around.outer * layout.per_group;
  layout.scale_group = blocks;
  layout.scale_every = layout.each ? block : 1;
  layout.scale_step = around.inner;
  return layout;
}

}  // namespace

LaidOut LayOut(const Tensor& x, const Tensor& scale, const Tensor& zero_point,
               int64_t axis, int64_t block) {
  LaidOut out;
  const auto floats = [](const Tensor& t) {
    return t.to(torch::kFloat32).contiguous();
  };
  if (scale.numel() == 1) {
    out.layout = PerTensor(x.numel());
    out.scale = floats(scale);
    out.zero_point = floats(zero_point);
    return out;
  }
  const std::vector<int64_t> order = MemoryOrder(x);
  const Around around = AroundAxis(x, order, axis);
  if (block > 0) {
    out.layout = PerBlock(around, block);
    out.scale = floats(scale.permute(order));
    out.zero_point = floats(zero_point.permute(order));
    return out;
  }
  TORCH_CHECK(scale.numel() == around.dim, "a quantizer has ", scale.numel(),
              " scales for ", around.dim, " channels");
  out.layout = PerChannel(around);
  out.scale = floats(scale);
  out.zero_point = floats(zero_point);
  if (out.layout.each && around.inner > 1) {
    out.scale = at::repeat_interleave(out.scale, around.inner);
    out.zero_point = at::repeat_interleave(out.zero_point, around.inner);
  }
  return out;
}

}  // namespace condense::runtime
