#ifndef CONDENSE_WORKERS_ENGINE_EVALUATION_VERIFICATION_H_
#define CONDENSE_WORKERS_ENGINE_EVALUATION_VERIFICATION_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/data/dataset.h"

namespace condense::evaluation {

// Figures of models whose outputs are embeddings, such as of faces: two samples
// show the same when their embeddings point the same way. All of these are pure
// functions.

// `count` rows of `size` values.
struct Embeddings {
  std::vector<float> values;
  int64_t count = 0;
  int64_t size = 0;

  const float* row(int64_t index) const { return values.data() + index * size; }
};

// dot(a, b) / (|a| |b|), from -1 to 1; 0 where one of them is 0 or not finite.
double CosineScore(const float* a, const float* b, int64_t size);

struct ScoredPair {
  double score = 0;
  bool same = false;
};

// Of pairs of rows, in their order.
std::vector<ScoredPair> ScorePairs(const Embeddings& embeddings,
                                   const std::vector<data::Pair>& pairs);
// Shares of the different and of the same pairs with at least this score.
struct RocPoint {
  double threshold = 0;
  double false_accepts = 0;
  double true_accepts = 0;
};
// From (infinity, 0, 0) on, one point for each score there is, falling.
// INVALID_ARGUMENT with reason ONE_KIND_OF_PAIR unless there are same and
// different pairs; so do all of the following.
absl::StatusOr<std::vector<RocPoint>> Roc(std::vector<ScoredPair> pairs);

// The rate at which false accepts and false rejects are equal, on the straight
// line between the two points of the curve around it.
absl::StatusOr<double> EqualErrorRate(const std::vector<ScoredPair>& pairs);

// The most true accepts with at most this share of false accepts; with fewer
// different pairs than 1 / false_accepts, without any.
absl::StatusOr<double> TrueAcceptsAt(double false_accepts,
                                     const std::vector<ScoredPair>& pairs);

// The mean accuracy over `folds` runs of pairs in a row, each with the
// threshold that is best on all the others, as the LFW protocol has it (Huang
// et al., UMass Amherst 07-49). Also INVALID_ARGUMENT, TOO_FEW_PAIRS: fewer
// than folds.
absl::StatusOr<double> FoldAccuracy(const std::vector<ScoredPair>& pairs,
                                    int folds = 10);

// The share of samples whose nearest other sample (by cosine) has their label,
// among those that have another one with it; absent where none has. Where that
// takes more than `most` comparisons, of every so manieth sample alone, each
// against all.
std::optional<double> Rank1(const Embeddings& embeddings,
                            const std::vector<int64_t>& labels,
                            int64_t most = 20'000'000);

}  // namespace condense::evaluation

#endif  // CONDENSE_WORKERS_ENGINE_EVALUATION_VERIFICATION_H_
