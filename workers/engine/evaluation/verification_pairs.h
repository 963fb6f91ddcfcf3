#ifndef CONDENSE_WORKERS_ENGINE_EVALUATION_VERIFICATION_PAIRS_H_
#define CONDENSE_WORKERS_ENGINE_EVALUATION_VERIFICATION_PAIRS_H_

#include <cstdint>
#include <vector>

#include "workers/engine/data/dataset.h"

namespace condense::evaluation {

// Which pairs of samples a verification is measured on.

// Pairs of labelled samples that are scored at most.
inline constexpr int64_t kPairsMost = 2'000'000;

// Each two of the samples, by place; they show the same when their labels are
// equal. Where that are more than `most`, about so many of them, drawn by
// `seed`: all same pairs, or of each label so many that they make up a half,
// and each sample beside as many others. Rates among same and among different
// pairs stay what they are, but for the spread of a sample. Sorted.
std::vector<data::Pair> PairsOfLabels(const std::vector<int64_t>& labels,
                                      int64_t most, uint64_t seed);

// Pairs of positions in `places`, which are places in the data set, rising: of
// a pair list its pairs, in its order, but for those with a sample that is not
// among them; else PairsOfLabels.
std::vector<data::Pair> PairsAmong(const data::Dataset& dataset,
                                   const std::vector<int64_t>& places,
                                   uint64_t seed);

// How many show the same, and how many do not.
struct PairCounts {
  int64_t same = 0;
  int64_t different = 0;
};
PairCounts Count(const std::vector<data::Pair>& pairs);

}  // namespace condense::evaluation

#endif  // CONDENSE_WORKERS_ENGINE_EVALUATION_VERIFICATION_PAIRS_H_
