#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_UPDATE_KERNELS_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_UPDATE_KERNELS_H_

#include <cstdint>

namespace condense::training {

// The arithmetic of one optimizer step in one read of its arrays. Arrays do not
// overlap and have `n` elements; the gradient counts `grad_scale` times.

// g' = grad_scale g + decay w; v = momentum v + g'; w -= lr (nesterov ? g' +
// momentum v : v). Without momentum `v` is null and w -= lr g'.
struct SgdCoefficients {
  float lr = 0;
  float momentum = 0;
  float decay = 0;
  float grad_scale = 1;
  bool nesterov = false;
};
void SgdUpdate(const SgdCoefficients& c, int64_t n, const float* grad, float* w,
               float* v);

// w *= shrink; g' = grad_scale g + decay w; m = beta1 m + (1 - beta1) g';
// v = beta2 v + (1 - beta2) g'^2; w -= rate m / (sqrt(v) / correction + eps).
struct AdamCoefficients {
  float rate = 0;
  float beta1 = 0;
  float beta2 = 0;
  // 1 - beta, rounded once from the exact difference.
  float rest1 = 1;
  float rest2 = 1;
  float correction = 1;
  float epsilon = 0;
  float decay = 0;
  float shrink = 1;
  float grad_scale = 1;
};
void AdamUpdate(const AdamCoefficients& c, int64_t n, const float* grad,
                float* w, float* m, float* v);

// average += share (x - average).
void AverageUpdate(float share, int64_t n, const float* x, float* average);

// Of x^2; the order of additions depends on `n` alone.
double SumOfSquares(int64_t n, const float* x);

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_UPDATE_KERNELS_H_
