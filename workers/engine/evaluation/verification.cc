#include "workers/engine/evaluation/verification.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"

namespace condense::evaluation {
namespace {

void SortByScore(std::vector<ScoredPair>* pairs) {
  std::sort(pairs->begin(), pairs->end(),
            [](const ScoredPair& a, const ScoredPair& b) {
              return a.score > b.score;
            });
}

// The threshold with the most right answers; between two scores, so that it
// does not hang on one.
double BestThreshold(std::vector<ScoredPair> pairs) {
  SortByScore(&pairs);
  int64_t right = std::count_if(pairs.begin(), pairs.end(),
                                [](const auto& pair) { return !pair.same; });
  int64_t best = right;
  double threshold = pairs.front().score + 1;
  for (size_t i = 0; i < pairs.size(); ++i) {
    right += pairs[i].same ? 1 : -1;
    const bool last = i + 1 == pairs.size();
    if (!last && pairs[i + 1].score == pairs[i].score) continue;
    if (right <= best) continue;
    best = right;
    threshold =
        last ? pairs[i].score : (pairs[i].score + pairs[i + 1].score) / 2;
  }
  return threshold;
}

}  // namespace

double CosineScore(const float* a, const float* b, int64_t size) {
  double dot = 0, aa = 0, bb = 0;
  for (int64_t i = 0; i < size; ++i) {
    dot += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  const double norm = std::sqrt(aa) * std::sqrt(bb);
  return norm > 0 ? dot / norm : 0;
}

std::vector<ScoredPair> ScorePairs(const Embeddings& embeddings,
                                   const std::vector<data::Pair>& pairs) {
  std::vector<ScoredPair> scored;
  scored.reserve(pairs.size());
  for (const data::Pair& pair : pairs) {
    scored.push_back({CosineScore(embeddings.row(pair.a),
                                  embeddings.row(pair.b), embeddings.size),
                      pair.same});
  }
  return scored;
}

std::vector<ScoredPair> ScoreAllPairs(const Embeddings& embeddings,
                                      const std::vector<int64_t>& labels) {
  std::vector<ScoredPair> scored;
  scored.reserve(embeddings.count * (embeddings.count - 1) / 2);
  for (int64_t i = 0; i < embeddings.count; ++i) {
    for (int64_t j = i + 1; j < embeddings.count; ++j) {
      scored.push_back(
          {CosineScore(embeddings.row(i), embeddings.row(j), embeddings.size),
           labels[i] == labels[j]});
    }
  }
  return scored;
}

absl::StatusOr<std::vector<RocPoint>> Roc(std::vector<ScoredPair> pairs) {
  const double same = static_cast<double>(std::count_if(
      pairs.begin(), pairs.end(), [](const auto& pair) { return pair.same; }));
  const double different = static_cast<double>(pairs.size()) - same;
  if (same == 0 || different == 0) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "ONE_KIND_OF_PAIR",
        absl::StrCat("there are ", same, " pairs of the same and ", different,
                     " of different ones; both are needed"));
  }
  SortByScore(&pairs);
  std::vector<RocPoint> curve = {
      {std::numeric_limits<double>::infinity(), 0, 0}};
  double accepted_same = 0, accepted_different = 0;
  for (size_t i = 0; i < pairs.size(); ++i) {
    (pairs[i].same ? accepted_same : accepted_different) += 1;
    if (i + 1 < pairs.size() && pairs[i + 1].score == pairs[i].score) continue;
    curve.push_back(
        {pairs[i].score, accepted_different / different, accepted_same / same});
  }
  return curve;
}

absl::StatusOr<double> EqualErrorRate(const std::vector<ScoredPair>& pairs) {
  CONDENSE_ASSIGN_OR_RETURN(const std::vector<RocPoint> curve, Roc(pairs));
  // False accepts less false rejects rise from -1 to 1.
  const auto excess = [](const RocPoint& point) {
    return point.false_accepts - (1 - point.true_accepts);
  };
  size_t i = 1;
  while (excess(curve[i]) < 0) ++i;
  const double low = excess(curve[i - 1]), high = excess(curve[i]);
  const double part = -low / (high - low);
  return curve[i - 1].false_accepts +
         part * (curve[i].false_accepts - curve[i - 1].false_accepts);
}

absl::StatusOr<double> TrueAcceptsAt(double false_accepts,
                                     const std::vector<ScoredPair>& pairs) {
  CONDENSE_ASSIGN_OR_RETURN(const std::vector<RocPoint> curve, Roc(pairs));
  double most = 0;
  for (const RocPoint& point : curve) {
    if (point.false_accepts <= false_accepts) most = point.true_accepts;
  }
  return most;
}

absl::StatusOr<double> FoldAccuracy(const std::vector<ScoredPair>& pairs,
                                    int folds) {
  CONDENSE_RETURN_IF_ERROR(Roc(pairs).status());
  const int64_t count = std::ssize(pairs);
  if (count < folds) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "TOO_FEW_PAIRS",
        absl::StrCat("there are ", count, " pairs for ", folds, " folds"));
  }
  double sum = 0;
  for (int64_t fold = 0; fold < folds; ++fold) {
    const auto begin = pairs.begin() + count * fold / folds;
    const auto end = pairs.begin() + count * (fold + 1) / folds;
    std::vector<ScoredPair> others(pairs.begin(), begin);
    others.insert(others.end(), end, pairs.end());
    const double threshold = BestThreshold(std::move(others));
    const auto right = std::count_if(begin, end, [&](const ScoredPair& pair) {
      return (pair.score >= threshold) == pair.same;
    });
    sum += static_cast<double>(right) / static_cast<double>(end - begin);
  }
  return sum / folds;
}

std::optional<double> Rank1(const Embeddings& embeddings,
                            const std::vector<int64_t>& labels) {
  std::map<int64_t, int64_t> of_label;
  for (int64_t label : labels) ++of_label[label];
  int64_t tried = 0, found = 0;
  for (int64_t i = 0; i < embeddings.count; ++i) {
    if (of_label[labels[i]] < 2) continue;
    double best = -2;
    int64_t nearest = 0;
    for (int64_t j = 0; j < embeddings.count; ++j) {
      if (j == i) continue;
      const double score =
          CosineScore(embeddings.row(i), embeddings.row(j), embeddings.size);
      if (score > best) {
        best = score;
        nearest = j;
      }
    }
    ++tried;
    found += labels[nearest] == labels[i];
  }
  if (tried == 0) return std::nullopt;
  return static_cast<double>(found) / static_cast<double>(tried);
}

}  // namespace condense::evaluation
