#include "workers/engine/evaluation/verification_pairs.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <tuple>

#include "workers/engine/data/random.h"

namespace condense::evaluation {
namespace {

// Of the seed.
constexpr uint64_t kPairStream = 7;

std::vector<data::Pair> AllPairs(const std::vector<int64_t>& labels) {
  const int64_t count = std::ssize(labels);
  std::vector<data::Pair> pairs;
  pairs.reserve(count * (count - 1) / 2);
  for (int64_t a = 0; a < count; ++a) {
    for (int64_t b = a + 1; b < count; ++b) {
      pairs.push_back({a, b, labels[a] == labels[b]});
    }
  }
  return pairs;
}

// A ring of samples in which each has a partner at every one of `distances`;
// below half of the ring no two of these pairs are the same.
void AddRing(const std::vector<int64_t>& samples,
             const std::vector<int64_t>& distances,
             const std::vector<int64_t>& labels, bool same,
             std::vector<data::Pair>* pairs) {
  const int64_t count = std::ssize(samples);
  for (int64_t distance : distances) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t a = samples[i], b = samples[(i + distance) % count];
      if (a == b || (labels[a] == labels[b]) != same) continue;
      pairs->push_back({std::min(a, b), std::max(a, b), same});
    }
  }
}

// 1 to `most`.
std::vector<int64_t> Distances(int64_t most) {
  std::vector<int64_t> distances(std::max<int64_t>(0, most));
  std::iota(distances.begin(), distances.end(), 1);
  return distances;
}

// At most about `most` pairs of equal labels.
void AddSame(const std::vector<int64_t>& labels, int64_t most,
             data::Random* random, std::vector<data::Pair>* pairs) {
  std::map<int64_t, std::vector<int64_t>> members;
  for (int64_t i = 0; i < std::ssize(labels); ++i) {
    members[labels[i]].push_back(i);
  }
  double all = 0;
  for (const auto& [label, samples] : members) {
    const auto count = static_cast<double>(samples.size());
    all += count * (count - 1) / 2;
  }
  const double share = std::min(1.0, static_cast<double>(most) / all);
  for (auto& [label, samples] : members) {
    random->Shuffle(&samples);
    // Half of the ring meets every other sample.
    const auto half = static_cast<double>(samples.size() / 2);
    AddRing(samples, Distances(std::llround(std::max(1.0, share * half))),
            labels, true, pairs);
  }
}

}  // namespace

std::vector<data::Pair> PairsOfLabels(const std::vector<int64_t>& labels,
                                      int64_t most, uint64_t seed) {
  const int64_t count = std::ssize(labels);
  if (count * (count - 1) / 2 <= most) return AllPairs(labels);
  data::Random random(seed, kPairStream);
  std::vector<data::Pair> pairs;
  AddSame(labels, most / 2, &random, &pairs);
  std::vector<int64_t> samples(count);
  std::iota(samples.begin(), samples.end(), 0);
  std::vector<int64_t> distances = Distances((count - 1) / 2);
  random.Shuffle(&distances);
  const int64_t rings =
      std::max<int64_t>(1, (most - std::ssize(pairs)) / count);
  distances.resize(std::min<int64_t>(rings, std::ssize(distances)));
  AddRing(samples, distances, labels, false, &pairs);
  const auto key = [](const data::Pair& pair) {
    return std::tie(pair.a, pair.b);
  };
  std::sort(pairs.begin(), pairs.end(),
            [&](const auto& x, const auto& y) { return key(x) < key(y); });
  pairs.erase(std::unique(pairs.begin(), pairs.end(),
                          [&](const auto& x, const auto& y) {
                            return key(x) == key(y);
                          }),
              pairs.end());
  return pairs;
}

std::vector<data::Pair> PairsAmong(const data::Dataset& dataset,
                                   const std::vector<int64_t>& places,
                                   uint64_t seed) {
  if (dataset.pairs().empty()) {
    std::vector<int64_t> labels;
    for (int64_t place : places) labels.push_back(dataset.LabelOf(place));
    return PairsOfLabels(labels, kPairsMost, seed);
  }
  const auto position = [&](int64_t place) -> std::optional<int64_t> {
    const auto it = std::lower_bound(places.begin(), places.end(), place);
    if (it == places.end() || *it != place) return std::nullopt;
    return it - places.begin();
  };
  std::vector<data::Pair> pairs;
  for (const data::Pair& pair : dataset.pairs()) {
    const auto a = position(pair.a), b = position(pair.b);
    if (a.has_value() && b.has_value()) pairs.push_back({*a, *b, pair.same});
  }
  return pairs;
}

PairCounts Count(const std::vector<data::Pair>& pairs) {
  PairCounts counts;
  for (const data::Pair& pair : pairs) {
    ++(pair.same ? counts.same : counts.different);
  }
  return counts;
}

}  // namespace condense::evaluation
