#include "workers/engine/evaluation/embedded_samples.h"

#include <algorithm>

#include "absl/status/statusor.h"

namespace condense::evaluation {
namespace {

std::optional<double> Measured(const absl::StatusOr<double>& value) {
  if (!value.ok()) return std::nullopt;
  return *value;
}

}  // namespace

void EmbeddedSamples::Add(int64_t place, const float* row, int64_t size) {
  embeddings.size = size;
  embeddings.values.insert(embeddings.values.end(), row, row + size);
  ++embeddings.count;
  places.push_back(place);
}

void EmbeddedSamples::Append(const EmbeddedSamples& others) {
  for (int64_t i = 0; i < others.embeddings.count; ++i) {
    Add(others.places[i], others.embeddings.row(i), others.embeddings.size);
  }
}

VerificationFigures MeasureVerification(const EmbeddedSamples& samples,
                                        const data::Dataset& dataset,
                                        uint64_t seed) {
  const std::vector<data::Pair> pairs =
      PairsAmong(dataset, samples.places, seed);
  const std::vector<ScoredPair> scored = ScorePairs(samples.embeddings, pairs);
  VerificationFigures figures;
  figures.pairs = Count(pairs);
  figures.eer = Measured(EqualErrorRate(scored));
  figures.tar_at_far_1e3 = Measured(TrueAcceptsAt(1e-3, scored));
  figures.accuracy = Measured(FoldAccuracy(scored));
  if (dataset.num_classes() == 0) return figures;
  std::vector<int64_t> labels;
  for (int64_t place : samples.places) labels.push_back(dataset.LabelOf(place));
  figures.rank1 = Rank1(samples.embeddings, labels);
  return figures;
}

std::optional<Likeness> CompareEmbeddings(const EmbeddedSamples& a,
                                          const EmbeddedSamples& b) {
  Likeness likeness;
  likeness.min = 1;
  for (int64_t i = 0, j = 0;
       i < a.embeddings.count && j < b.embeddings.count;) {
    if (a.places[i] != b.places[j]) {
      ++(a.places[i] < b.places[j] ? i : j);
      continue;
    }
    const double cosine = CosineScore(a.embeddings.row(i++),
                                      b.embeddings.row(j++), a.embeddings.size);
    likeness.mean += cosine;
    likeness.min = std::min(likeness.min, cosine);
    ++likeness.samples;
  }
  if (likeness.samples == 0) return std::nullopt;
  likeness.mean /= static_cast<double>(likeness.samples);
  return likeness;
}

}  // namespace condense::evaluation
