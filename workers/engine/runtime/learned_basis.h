#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_LEARNED_BASIS_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_LEARNED_BASIS_H_

// The basis of LQ-Nets, Zhang et al., arXiv:1807.10029: levels are sums of K
// numbers v with signs b in {-1, 1}^K. Found by turns: the nearest level for
// each weight, then v = (B B^T)^-1 B w, which is best for these signs. No
// LibTorch.

#include <cstdint>
#include <vector>

namespace condense::runtime {

// Share of the basis that stays at each step of a training.
inline constexpr double kBasisKept = 0.9;

// The v of `bits` numbers (1 to 4) with the least squared error that the turns
// find. They begin at numbers of several ratios, clipped by several degrees;
// among them are levels that are equally far apart and just hold the weights,
// so that the result is never worse than those.
std::vector<float> FitBasis(const std::vector<float>& weights, int bits);

// One turn in training: v = keep v + (1 - keep) v', v' the best for the signs
// that v gives.
void FollowBasis(const float* weights, int64_t n, int bits, double keep,
                 float* basis);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_LEARNED_BASIS_H_
