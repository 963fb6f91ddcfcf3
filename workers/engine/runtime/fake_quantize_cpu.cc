#include "workers/engine/runtime/fake_quantize_cpu.h"

#include <ATen/Parallel.h>

#include <limits>
#include <mutex>

namespace condense::runtime {
namespace {

using torch::Tensor;

// Elements that are worth a thread.
constexpr int64_t kGrain = 32768;

int64_t GrainOf(int64_t row) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, row));
}

bool IsBf16(const Tensor& x) { return x.scalar_type() == torch::kBFloat16; }

const char* BytesOf(const Tensor& x) {
  return x.defined() ? static_cast<const char*>(x.data_ptr()) : nullptr;
}

FakeQuantizeRow RowOf(const FakeQuantizeOptions& options) {
  FakeQuantizeRow row;
  row.qmin = static_cast<float>(options.qmin);
  row.qmax = static_cast<float>(options.qmax);
  row.before = options.before;
  row.clip_low = options.clip_low;
  row.clip_high = options.clip_high;
  return row;
}

// The extremes that threads have seen, put together.
class Seen {
 public:
  // `into` may be undefined: then nothing is kept.
  explicit Seen(const Tensor& into)
      : into_(into.defined() ? into.data_ptr<float>() : nullptr) {}

  bool wanted() const { return into_ != nullptr; }
  void Merge(const float* seen) {
    const std::lock_guard<std::mutex> lock(mu_);
    into_[0] = std::min(into_[0], seen[0]);
    into_[1] = std::max(into_[1], seen[1]);
  }

 private:
  std::mutex mu_;
  float* const into_;
};

}  // namespace

Tensor FakeQuantizeCpu(const FakeQuantizeInputs& inputs,
                       const FakeQuantizeOptions& options, const LaidOut& laid,
                       bool want_pass, const Tensor& y) {
  const FakeQuantizeLayout& layout = laid.layout;
  const int64_t words = PassWords(layout.step);
  Tensor pass;
  if (want_pass) pass = at::empty({layout.count, words}, torch::kInt16);
  FakeQuantizeRow all = RowOf(options);
  all.bf16 = IsBf16(inputs.x);
  all.each = layout.each;
  const int64_t size = inputs.x.element_size();
  const char* x = BytesOf(inputs.x);
  const char* addend = BytesOf(inputs.addend);
  char* out = static_cast<char*>(y.data_ptr());
  const float* scale = laid.scale.data_ptr<float>();
  const float* zero_point = laid.zero_point.data_ptr<float>();
  PassWord* bits =
      want_pass ? static_cast<PassWord*>(pass.data_ptr()) : nullptr;
  Seen seen(inputs.seen);
  at::parallel_for(
      0, layout.count, GrainOf(layout.step), [&](int64_t from, int64_t to) {
        FakeQuantizeRow row = all;
        float extremes[2] = {std::numeric_limits<float>::infinity(),
                             -std::numeric_limits<float>::infinity()};
        if (seen.wanted()) row.seen = extremes;
        for (int64_t r = from; r < to; ++r) {
          const FakeQuantizeLayout::Row at = layout.At(r);
          row.x = x + at.begin * size;
          row.addend = addend == nullptr ? nullptr : addend + at.begin * size;
          row.y = out + at.begin * size;
          row.n = at.n;
          row.scale = scale + at.scale;
          row.zero_point = zero_point + at.scale;
          row.pass = bits == nullptr ? nullptr : bits + r * words;
          BestFakeQuantizeLoops().quantize(row);
        }
        if (seen.wanted()) seen.Merge(extremes);
      });
  return pass;
}

void PassGradientCpu(const Tensor& grad, const Tensor& pass,
                     const FakeQuantizeLayout& layout, const Tensor& out) {
  const int64_t words = PassWords(layout.step);
  const int64_t size = grad.element_size();
  const char* from_grad = BytesOf(grad);
  char* to = static_cast<char*>(out.data_ptr());
  const PassWord* bits = static_cast<const PassWord*>(pass.data_ptr());
  at::parallel_for(
      0, layout.count, GrainOf(layout.step), [&](int64_t from, int64_t end) {
        for (int64_t r = from; r < end; ++r) {
          const FakeQuantizeLayout::Row at = layout.At(r);
          BestFakeQuantizeLoops().pass({from_grad + at.begin * size,
                                        bits + r * words, to + at.begin * size,
                                        at.n, IsBf16(grad)});
        }
      });
}

namespace {

// Rows along the first axis, each in the cache from the search for its scale.
void ProjectRowsByMaxAbs(const Tensor& w, const Tensor& scale,
                         const FakeQuantizeOptions& options, const Tensor& y) {
  const int64_t n = w.numel() / scale.numel();
  const float* x = w.data_ptr<float>();
  float* out = y.data_ptr<float>();
  float* scales = scale.data_ptr<float>();
  const float zero = 0;
  at::parallel_for(0, scale.numel(), GrainOf(n), [&](int64_t from, int64_t to) {
    FakeQuantizeRow row = RowOf(options);
    row.n = n;
    row.zero_point = &zero;
    for (int64_t r = from; r < to; ++r) {
      row.x = x + r * n;
      row.y = out + r * n;
      row.scale = scales + r;
      scales[r] = MaxAbsScale(BestFakeQuantizeLoops().max_abs(x + r * n, n),
                              options.qmax);
      BestFakeQuantizeLoops().quantize(row);
    }
  });
}

}  // namespace

void ProjectWeightCpu(const Tensor& w, const Tensor& scale,
                      const FakeQuantizeOptions& options, Projection projection,
                      const Tensor& y) {
  const int64_t channels = scale.numel();
  if (projection == Projection::kMaxAbs &&
      (channels == 1 || options.axis == 0)) {
    return ProjectRowsByMaxAbs(w, scale, options, y);
  }
  int64_t inner = 1;
  for (int64_t i = options.axis + 1; channels > 1 && i < w.dim(); ++i) {
    inner *= w.size(i);
  }
  const int64_t outer = channels > 1 ? w.numel() / (channels * inner) : 1;
  ProjectChannels(projection, w.data_ptr<float>(), outer, channels,
                  channels > 1 ? inner : w.numel(), options.qmax,
                  y.data_ptr<float>(), scale.data_ptr<float>());
}

}  // namespace condense::runtime
