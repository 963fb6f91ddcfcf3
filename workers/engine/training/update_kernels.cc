#include "workers/engine/training/update_kernels.h"

#include <algorithm>
#include <cmath>

// Compiled for several kinds of processor, the best taken at run time. No
// fused multiply-add: all of them round alike.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define CONDENSE_VECTORIZED __attribute__((target_clones("avx2", "default")))
#else
#define CONDENSE_VECTORIZED
#endif

namespace condense::training {
namespace {

constexpr int kLanes = 16;
// Added up in float before they go on in double.
constexpr int64_t kBlock = 1024;

CONDENSE_VECTORIZED
void PlainSgd(float lr, float decay, float scale, int64_t n,
              const float* __restrict grad, float* __restrict w) {
  for (int64_t i = 0; i < n; ++i) {
    w[i] -= lr * (scale * grad[i] + decay * w[i]);
  }
}

CONDENSE_VECTORIZED
void MomentumSgd(float lr, float momentum, float decay, float scale, int64_t n,
                 const float* __restrict grad, float* __restrict w,
                 float* __restrict v) {
  for (int64_t i = 0; i < n; ++i) {
    v[i] = momentum * v[i] + (scale * grad[i] + decay * w[i]);
    w[i] -= lr * v[i];
  }
}

CONDENSE_VECTORIZED
void NesterovSgd(float lr, float momentum, float decay, float scale, int64_t n,
                 const float* __restrict grad, float* __restrict w,
                 float* __restrict v) {
  for (int64_t i = 0; i < n; ++i) {
    const float g = scale * grad[i] + decay * w[i];
    v[i] = momentum * v[i] + g;
    w[i] -= lr * (g + momentum * v[i]);
  }
}

CONDENSE_VECTORIZED
void Adam(const AdamCoefficients c, int64_t n, const float* __restrict grad,
          float* __restrict w, float* __restrict m, float* __restrict v) {
  const float scale = 1 / c.correction;
  for (int64_t i = 0; i < n; ++i) {
    const float weight = w[i] * c.shrink;
    const float g = c.grad_scale * grad[i] + c.decay * weight;
    m[i] = c.beta1 * m[i] + c.rest1 * g;
    v[i] = c.beta2 * v[i] + c.rest2 * g * g;
    w[i] = weight - c.rate * m[i] / (std::sqrt(v[i]) * scale + c.epsilon);
  }
}

CONDENSE_VECTORIZED
void Average(float share, int64_t n, const float* __restrict x,
             float* __restrict average) {
  for (int64_t i = 0; i < n; ++i) average[i] += share * (x[i] - average[i]);
}

CONDENSE_VECTORIZED
void AddSquares(int64_t n, const float* __restrict x, float* __restrict lanes) {
  for (int64_t i = 0; i < n; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) lanes[j] += x[i + j] * x[i + j];
  }
}

}  // namespace

void SgdUpdate(const SgdCoefficients& c, int64_t n, const float* grad, float* w,
               float* v) {
  if (v == nullptr) {
    PlainSgd(c.lr, c.decay, c.grad_scale, n, grad, w);
  } else if (c.nesterov) {
    NesterovSgd(c.lr, c.momentum, c.decay, c.grad_scale, n, grad, w, v);
  } else {
    MomentumSgd(c.lr, c.momentum, c.decay, c.grad_scale, n, grad, w, v);
  }
}

void AdamUpdate(const AdamCoefficients& c, int64_t n, const float* grad,
                float* w, float* m, float* v) {
  Adam(c, n, grad, w, m, v);
}

void AverageUpdate(float share, int64_t n, const float* x, float* average) {
  Average(share, n, x, average);
}

double SumOfSquares(int64_t n, const float* x) {
  double sum = 0;
  const int64_t whole = n / kLanes * kLanes;
  for (int64_t begin = 0; begin < whole; begin += kBlock) {
    float lanes[kLanes] = {};
    AddSquares(std::min(kBlock, whole - begin), x + begin, lanes);
    for (float lane : lanes) sum += lane;
  }
  for (int64_t i = whole; i < n; ++i) sum += double{x[i]} * x[i];
  return sum;
}

}  // namespace condense::training
