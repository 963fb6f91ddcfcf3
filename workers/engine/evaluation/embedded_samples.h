#ifndef CONDENSE_WORKERS_ENGINE_EVALUATION_EMBEDDED_SAMPLES_H_
#define CONDENSE_WORKERS_ENGINE_EVALUATION_EMBEDDED_SAMPLES_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "workers/engine/data/dataset.h"
#include "workers/engine/evaluation/verification.h"
#include "workers/engine/evaluation/verification_pairs.h"

namespace condense::evaluation {

// What a model makes of samples of one data set. A value.
struct EmbeddedSamples {
  Embeddings embeddings;
  // Of each row its sample's place in the data set, rising.
  std::vector<int64_t> places;

  // All rows have the same size; places rise.
  void Add(int64_t place, const float* row, int64_t size);
  void Append(const EmbeddedSamples& others);
};

// What could not be measured is absent: all but rank1 without same or without
// different pairs, accuracy also with fewer than ten pairs, rank1 where no
// sample has a mate by label.
struct VerificationFigures {
  std::optional<double> eer;
  std::optional<double> tar_at_far_1e3;
  std::optional<double> accuracy;
  std::optional<double> rank1;
  PairCounts pairs;
};
// Of the pairs and labels of the samples' data set (PairsAmong).
VerificationFigures MeasureVerification(const EmbeddedSamples& samples,
                                        const data::Dataset& dataset,
                                        uint64_t seed);

// Cosines between two models' embeddings of the same samples.
struct Likeness {
  double mean = 0;
  double min = 0;
  int64_t samples = 0;
};
// Over the places that both have; absent where there are none.
std::optional<Likeness> CompareEmbeddings(const EmbeddedSamples& a,
                                          const EmbeddedSamples& b);

}  // namespace condense::evaluation

#endif  // CONDENSE_WORKERS_ENGINE_EVALUATION_EMBEDDED_SAMPLES_H_
