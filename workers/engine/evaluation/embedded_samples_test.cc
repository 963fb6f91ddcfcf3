#include "workers/engine/evaluation/embedded_samples.h"

#include <cmath>

#include "gtest/gtest.h"
#include "workers/engine/data/packed.h"

namespace condense::evaluation {
namespace {

// Unit vectors at these angles, at places 0, 1, ...
EmbeddedSamples Angles(const std::vector<double>& degrees) {
  EmbeddedSamples samples;
  for (size_t i = 0; i < degrees.size(); ++i) {
    const double angle = degrees[i] * M_PI / 180;
    const float row[] = {static_cast<float>(std::cos(angle)),
                         static_cast<float>(std::sin(angle))};
    samples.Add(static_cast<int64_t>(i), row, 2);
  }
  return samples;
}

data::PackedImages Labelled(std::vector<int64_t> labels) {
  return data::PackedImages({1, 1, 1}, std::string(labels.size(), '\0'), {},
                            std::move(labels));
}

TEST(EmbeddedSamplesTest, AppendKeepsTheOrder) {
  EmbeddedSamples a = Angles({0}), b;
  const float row[] = {3, 4};
  b.Add(5, row, 2);
  a.Append(b);
  EXPECT_EQ(a.places, (std::vector<int64_t>{0, 5}));
  EXPECT_EQ(a.embeddings.count, 2);
  EXPECT_EQ(a.embeddings.row(1)[1], 4);
}

TEST(MeasureVerificationTest, OfLabelledSamplesAsByHand) {
  // Subject 0 at 0 and 10 degrees, 1 at 60 and 75, 2 at 21 alone. By growing
  // angle the pairs are 10 same, 11 different, 15 same, then 21, 39, 50, 54,
  // 60, 65, 75 different.
  const auto samples = Angles({0, 10, 60, 75, 21});
  const auto figures =
      MeasureVerification(samples, Labelled({0, 0, 1, 1, 2}), 17);
  EXPECT_EQ(figures.pairs.same, 2);
  EXPECT_EQ(figures.pairs.different, 8);
  // False accepts stay at 1/8 while false rejects fall from 1/2 to 0.
  EXPECT_DOUBLE_EQ(*figures.eer, 0.125);
  // Without a false accept: one of two.
  EXPECT_DOUBLE_EQ(*figures.tar_at_far_1e3, 0.5);
  EXPECT_EQ(figures.rank1, 1);
  // Ten folds of one pair. Without the pair of 10 degrees the best is to reject
  // all; without that of 11 to accept up to 15; else to accept that of 10
  // alone: the first three are wrong, the others right.
  EXPECT_DOUBLE_EQ(*figures.accuracy, 0.7);
}

TEST(MeasureVerificationTest, WhatCannotBeMeasuredIsAbsent) {
  // One subject: no different pair. 15 pairs would be enough for folds.
  const auto one = MeasureVerification(Angles({0, 1, 2, 3, 4, 5}),
                                       Labelled({0, 0, 0, 0, 0, 0}), 17);
  EXPECT_FALSE(one.eer.has_value());
  EXPECT_FALSE(one.tar_at_far_1e3.has_value());
  EXPECT_FALSE(one.accuracy.has_value());
  EXPECT_EQ(one.rank1, 1);
  EXPECT_EQ(one.pairs.same, 15);
  // Three pairs: fewer than folds.
  const auto few =
      MeasureVerification(Angles({0, 1, 90}), Labelled({0, 0, 1}), 17);
  EXPECT_EQ(few.eer, 0);
  EXPECT_EQ(few.tar_at_far_1e3, 1);
  EXPECT_FALSE(few.accuracy.has_value());
}

TEST(CompareEmbeddingsTest, TakesThePlacesThatBothHave) {
  const auto all = Angles({0, 0, 0, 0});
  EmbeddedSamples some;
  const float same[] = {2, 0}, across[] = {0, 1};
  some.Add(1, same, 2);
  some.Add(3, across, 2);
  some.Add(9, same, 2);
  const auto likeness = CompareEmbeddings(all, some);
  ASSERT_TRUE(likeness.has_value());
  EXPECT_EQ(likeness->samples, 2);
  EXPECT_NEAR(likeness->mean, 0.5, 1e-7);
  EXPECT_NEAR(likeness->min, 0, 1e-7);
  EXPECT_FALSE(CompareEmbeddings(Angles({0}), some).has_value());
}

}  // namespace
}  // namespace condense::evaluation
