#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_LOOPS_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_LOOPS_H_

// The loops over a vector type V of 16 floats, which each instruction set
// brings. Included by those files alone; everything here has internal linkage,
// so that no two of them are taken for one function by the linker.

#include <cstdint>
#include <cstring>

#include "workers/engine/runtime/fake_quantize_rows.h"

namespace condense::runtime {
namespace {

constexpr int64_t kLanes = kPassWordBits;

struct BFloat16 {
  uint16_t bits;
};

inline float Least(const float (&lanes)[kLanes]) {
  float least = lanes[0];
  for (float lane : lanes) least = lane < least ? lane : least;
  return least;
}

inline float Most(const float (&lanes)[kLanes]) {
  float most = lanes[0];
  for (float lane : lanes) most = lane > most ? lane : most;
  return most;
}

// Fewer than kLanes elements as a whole vector: what is left over repeats the
// first one, which no result depends on.
template <typename T>
const T* Padded(const T* from, int64_t n, T* buffer) {
  std::memcpy(buffer, from, n * sizeof(T));
  for (int64_t i = n; i < kLanes; ++i) buffer[i] = from[0];
  return buffer;
}

template <typename V, typename T, Before kBefore, bool kEach>
class QuantizeLoop {
 public:
  explicit QuantizeLoop(const FakeQuantizeRow& row)
      : row_(row),
        scale_(V::Fill(*row.scale)),
        zero_(V::Fill(*row.zero_point)),
        qmin_(V::Fill(row.qmin)),
        qmax_(V::Fill(row.qmax)),
        clip_low_(V::Fill(row.clip_low)),
        clip_high_(V::Fill(row.clip_high)) {
    if (row.seen == nullptr) return;
    low_ = V::Fill(row.seen[0]);
    high_ = V::Fill(row.seen[1]);
  }

  void Run() {
    const T* x = static_cast<const T*>(row_.x);
    const T* addend = static_cast<const T*>(row_.addend);
    T* y = static_cast<T*>(row_.y);
    int64_t i = 0;
    for (; i + kLanes <= row_.n; i += kLanes) {
      const V v = V::Load(x + i);
      const PassWord pass =
          One(addend == nullptr ? v : V::Add(v, V::Load(addend + i)),
              row_.scale + i, row_.zero_point + i, y + i);
      if (row_.pass != nullptr) row_.pass[i / kLanes] = pass;
    }
    if (i < row_.n) Tail(x + i, addend, i, y + i);
    if (row_.seen == nullptr) return;
    row_.seen[0] = low_.Smallest();
    row_.seen[1] = high_.Largest();
  }

 private:
  // `scale` and `zero` are read only if each element has its own.
  PassWord One(V v, const float* scale, const float* zero, T* y) {
    if constexpr (kEach) {
      scale_ = V::Load(scale);
      zero_ = V::Load(zero);
    }
    PassWord pass = 0xffff;
    // The operand that may be NaN comes second: it is what Min and Max keep.
    if constexpr (kBefore == Before::kRelu) {
      pass = V::Less(V::Fill(0), v);
      v = V::Max(V::Fill(0), v);
    } else if constexpr (kBefore == Before::kClip) {
      pass = V::Inside(clip_low_, v, clip_high_);
      v = V::Min(clip_high_, V::Max(clip_low_, v));
    }
    if (row_.seen != nullptr) {
      low_ = V::Min(v, low_);
      high_ = V::Max(v, high_);
    }
    const V level = V::Add(V::Round(V::Divide(v, scale_)), zero_);
    pass &= V::Inside(qmin_, level, qmax_);
    const V clipped = V::Min(qmax_, V::Max(qmin_, level));
    V::Store(V::Multiply(V::Subtract(clipped, zero_), scale_), y);
    return pass;
  }

  void Tail(const T* x, const T* addend, int64_t i, T* y) {
    const int64_t n = row_.n - i;
    T x_buffer[kLanes], y_buffer[kLanes];
    V v = V::Load(Padded(x, n, x_buffer));
    if (addend != nullptr) {
      v = V::Add(v, V::Load(Padded(addend + i, n, x_buffer)));
    }
    float scale[kLanes], zero[kLanes];
    const PassWord pass =
        kEach ? One(v, Padded(row_.scale + i, n, scale),
                    Padded(row_.zero_point + i, n, zero), y_buffer)
              : One(v, nullptr, nullptr, y_buffer);
    std::memcpy(y, y_buffer, n * sizeof(T));
    if (row_.pass != nullptr) row_.pass[i / kLanes] = pass;
  }

  const FakeQuantizeRow& row_;
  V scale_, zero_;
  const V qmin_, qmax_, clip_low_, clip_high_;
  V low_, high_;
};

template <typename V, typename T, Before kBefore>
void QuantizeBy(const FakeQuantizeRow& row) {
  row.each ? QuantizeLoop<V, T, kBefore, true>(row).Run()
           : QuantizeLoop<V, T, kBefore, false>(row).Run();
}

template <typename V, typename T>
void QuantizeAs(const FakeQuantizeRow& row) {
  switch (row.before) {
    case Before::kNothing:
      return QuantizeBy<V, T, Before::kNothing>(row);
    case Before::kRelu:
      return QuantizeBy<V, T, Before::kRelu>(row);
    case Before::kClip:
      return QuantizeBy<V, T, Before::kClip>(row);
  }
}

template <typename V>
void Quantize(const FakeQuantizeRow& row) {
  if (row.n == 0) return;
  row.bf16 ? QuantizeAs<V, BFloat16>(row) : QuantizeAs<V, float>(row);
}

template <typename V, typename T>
void PassAs(const PassRow& row) {
  const T* grad = static_cast<const T*>(row.grad);
  T* out = static_cast<T*>(row.out);
  int64_t i = 0;
  for (; i + kLanes <= row.n; i += kLanes) {
    V::Store(V::Keep(V::Load(grad + i), row.pass[i / kLanes]), out + i);
  }
  const int64_t n = row.n - i;
  if (n == 0) return;
  T buffer[kLanes];
  V::Store(V::Keep(V::Load(Padded(grad + i, n, buffer)), row.pass[i / kLanes]),
           buffer);
  std::memcpy(out + i, buffer, n * sizeof(T));
}

template <typename V>
void Pass(const PassRow& row) {
  row.bf16 ? PassAs<V, BFloat16>(row) : PassAs<V, float>(row);
}

template <typename V>
float MaxAbs(const float* x, int64_t n) {
  V most = V::Fill(0);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    most = V::Max(V::Abs(V::Load(x + i)), most);
  }
  float buffer[kLanes];
  if (i < n) most = V::Max(V::Abs(V::Load(Padded(x + i, n - i, buffer))), most);
  return most.Largest();
}

}  // namespace
}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_LOOPS_H_
