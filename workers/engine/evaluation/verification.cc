#include "workers/engine/evaluation/verification.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

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

// The threshold with the most right answers on all pairs but those from `begin`
// to `end`; between two scores, so that it does not hang on one. `order` has
// the places of all pairs, by falling score.
double BestThreshold(const std::vector<ScoredPair>& pairs,
                     const std::vector<int64_t>& order, int64_t begin,
                     int64_t end) {
  std::vector<ScoredPair> others;
  others.reserve(pairs.size());
  for (int64_t place : order) {
    if (place < begin || place >= end) others.push_back(pairs[place]);
  }
  int64_t right = std::count_if(others.begin(), others.end(),
                                [](const auto& pair) { return !pair.same; });
  int64_t best = right;
  double threshold = others.front().score + 1;
  for (size_t i = 0; i < others.size(); ++i) {
    right += others[i].same ? 1 : -1;
    const bool last = i + 1 == others.size();
    if (!last && others[i + 1].score == others[i].score) continue;
    if (right <= best) continue;
    best = right;
    threshold =
        last ? others[i].score : (others[i].score + others[i + 1].score) / 2;
  }
  return threshold;
}

double Dot(const float* a, const float* b, int64_t size) {
  double dot = 0;
  for (int64_t i = 0; i < size; ++i) dot += double{a[i]} * b[i];
  return dot;
}

// Of each row.
std::vector<double> Norms(const Embeddings& embeddings) {
  std::vector<double> norms(embeddings.count);
  for (int64_t i = 0; i < embeddings.count; ++i) {
    norms[i] =
        std::sqrt(Dot(embeddings.row(i), embeddings.row(i), embeddings.size));
  }
  return norms;
}

double Cosine(double dot, double norm) {
  return norm > 0 && std::isfinite(norm) ? dot / norm : 0;
}

// CosineScore of two rows whose norms are known.
double Score(const Embeddings& embeddings, const std::vector<double>& norms,
             int64_t a, int64_t b) {
  return Cosine(Dot(embeddings.row(a), embeddings.row(b), embeddings.size),
                norms[a] * norms[b]);
}

}  // namespace

double CosineScore(const float* a, const float* b, int64_t size) {
  return Cosine(Dot(a, b, size),
                std::sqrt(Dot(a, a, size)) * std::sqrt(Dot(b, b, size)));
}

std::vector<ScoredPair> ScorePairs(const Embeddings& embeddings,
                                   const std::vector<data::Pair>& pairs) {
  const std::vector<double> norms = Norms(embeddings);
  std::vector<ScoredPair> scored;
  scored.reserve(pairs.size());
  for (const data::Pair& pair : pairs) {
    scored.push_back({Score(embeddings, norms, pair.a, pair.b), pair.same});
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
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return pairs[a].score > pairs[b].score;
  });
  double sum = 0;
  for (int64_t fold = 0; fold < folds; ++fold) {
    const int64_t begin = count * fold / folds;
    const int64_t end = count * (fold + 1) / folds;
    const double threshold = BestThreshold(pairs, order, begin, end);
    const auto right = std::count_if(
        pairs.begin() + begin, pairs.begin() + end, [&](const auto& pair) {
          return (pair.score >= threshold) == pair.same;
        });
    sum += static_cast<double>(right) / static_cast<double>(end - begin);
  }
  return sum / folds;
}

std::optional<double> Rank1(const Embeddings& embeddings,
                            const std::vector<int64_t>& labels, int64_t most) {
  std::map<int64_t, int64_t> of_label;
  for (int64_t label : labels) ++of_label[label];
  const std::vector<double> norms = Norms(embeddings);
  const int64_t count = embeddings.count;
  const int64_t step = 1 + count * count / std::max<int64_t>(1, most);
  int64_t tried = 0, found = 0;
  for (int64_t i = 0; i < count; i += step) {
    if (of_label[labels[i]] < 2) continue;
    double best = -2;
    int64_t nearest = 0;
    for (int64_t j = 0; j < count; ++j) {
      if (j == i) continue;
      const double score = Score(embeddings, norms, i, j);
      if (score <= best) continue;
      best = score;
      nearest = j;
    }
    ++tried;
    found += labels[nearest] == labels[i];
  }
  if (tried == 0) return std::nullopt;
  return static_cast<double>(found) / static_cast<double>(tried);
}

}  // namespace condense::evaluation
