#ifndef CONDENSE_WORKERS_ENGINE_DATA_MIXUP_H_
#define CONDENSE_WORKERS_ENGINE_DATA_MIXUP_H_

#include <cstdint>
#include <vector>

#include "workers/engine/data/random.h"

namespace condense::data {

// From the Beta(alpha, alpha) distribution, by two Gamma draws (Marsaglia and
// Tsang, ACM TOMS 26, 2000).
double DrawBeta(double alpha, Random* random);

// What a mixed batch was mixed from: sample i is `lambda` of what it was and
// 1 - lambda of sample partner[i], and so is its loss. Each sample is the
// partner of one.
struct Mixing {
  double lambda = 1;
  std::vector<int64_t> partner;
};

// Draws lambda from Beta(alpha, alpha) and a partner for each of the `count`
// samples of `values`, and mixes them in place (Zhang et al.,
// arXiv:1710.09412).
Mixing Mix(double alpha, int64_t count, Random* random,
           std::vector<float>* values);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_MIXUP_H_
