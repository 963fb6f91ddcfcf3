#include "workers/engine/evaluation/verification.h"

#include <algorithm>
#include <cmath>

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace condense::evaluation {
namespace {

// Four same and four different pairs. By falling score: same .9, same .8,
// different .7, same .6, different .5, same .4, different .3, different .2.
std::vector<ScoredPair> Pairs() {
  return {{.9, true}, {.5, false}, {.8, true}, {.7, false},
          {.4, true}, {.3, false}, {.6, true}, {.2, false}};
}

TEST(CosineScoreTest, IsTheCosineOfTheAngle) {
  const float x[] = {3, 0}, y[] = {0, 2}, diagonal[] = {1, 1}, zero[] = {0, 0},
              back[] = {-5, 0};
  EXPECT_EQ(CosineScore(x, y, 2), 0);
  EXPECT_NEAR(CosineScore(x, diagonal, 2), std::sqrt(0.5), 1e-12);
  EXPECT_EQ(CosineScore(x, back, 2), -1);
  EXPECT_EQ(CosineScore(x, zero, 2), 0);
}

TEST(ScorePairsTest, FollowsTheList) {
  const Embeddings embeddings = {{1, 0, 0, 1, 2, 0}, 3, 2};
  const auto listed = ScorePairs(
      embeddings, {{.a = 0, .b = 2, .same = true}, {.a = 1, .b = 2}});
  ASSERT_EQ(listed.size(), 2u);
  EXPECT_EQ(listed[0].score, 1);
  EXPECT_TRUE(listed[0].same);
  EXPECT_EQ(listed[1].score, 0);
  EXPECT_FALSE(listed[1].same);
}

TEST(ScorePairsTest, WhatIsNotFiniteScoresZero) {
  const Embeddings embeddings = {{NAN, 0, 1, 1, INFINITY, 1}, 3, 2};
  for (const ScoredPair& pair :
       ScorePairs(embeddings, {{.a = 0, .b = 1}, {.a = 1, .b = 2}})) {
    EXPECT_EQ(pair.score, 0);
  }
}

TEST(RocTest, HasOnePointForEachScore) {
  const auto curve = Roc({{.9, true}, {.5, false}, {.5, true}, {.1, false}});
  ASSERT_TRUE(curve.ok()) << curve.status();
  const double expected[][3] = {
      {INFINITY, 0, 0}, {.9, 0, .5}, {.5, .5, 1}, {.1, 1, 1}};
  ASSERT_EQ(curve->size(), 4u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ((*curve)[i].threshold, expected[i][0]);
    EXPECT_EQ((*curve)[i].false_accepts, expected[i][1]);
    EXPECT_EQ((*curve)[i].true_accepts, expected[i][2]);
  }
}

TEST(EqualErrorRateTest, IsReadOffOrInterpolated) {
  // From .6 on: one of four different pairs accepted, one of four same pairs
  // rejected.
  EXPECT_DOUBLE_EQ(*EqualErrorRate(Pairs()), 0.25);
  EXPECT_DOUBLE_EQ(*EqualErrorRate({{.9, true}, {.1, false}}), 0);
  EXPECT_DOUBLE_EQ(*EqualErrorRate({{.1, true}, {.9, false}}), 1);
  EXPECT_DOUBLE_EQ(*EqualErrorRate({{.5, true}, {.5, false}}), 0.5);
  // False accepts and rejects are (1/3, 1/2) at .8 and (2/3, 1/2) at .7: equal
  // halfway.
  EXPECT_NEAR(
      *EqualErrorRate(
          {{.9, true}, {.8, false}, {.7, false}, {.6, true}, {.5, false}}),
      0.5, 1e-12);
  // (0, 2/3) at .9 and (1/2, 1/3) at .8, where two pairs come at once:
  // t/2 = 2/3 - t/3 at t = .8.
  EXPECT_NEAR(
      *EqualErrorRate(
          {{.9, true}, {.8, true}, {.8, false}, {.7, true}, {.6, false}}),
      0.4, 1e-12);
}

TEST(TrueAcceptsAtTest, TakesTheMostWithinTheBound) {
  EXPECT_EQ(*TrueAcceptsAt(0, Pairs()), 0.5);
  EXPECT_EQ(*TrueAcceptsAt(0.24, Pairs()), 0.5);
  EXPECT_EQ(*TrueAcceptsAt(0.25, Pairs()), 0.75);
  EXPECT_EQ(*TrueAcceptsAt(1, Pairs()), 1);
  EXPECT_EQ(*TrueAcceptsAt(1e-3, {{.1, true}, {.9, false}}), 0);
}

TEST(FoldAccuracyTest, TakesEachThresholdFromTheOtherFolds) {
  // Fold 1 is .9+ .5- .8+ .7-, fold 2 .4+ .3- .6+ .2-. The best threshold of
  // fold 2 is .35, which accepts all of fold 1: 2 of 4 are right. That of fold
  // 1 is .75, which rejects all of fold 2: 2 of 4.
  EXPECT_DOUBLE_EQ(*FoldAccuracy(Pairs(), 2), 0.5);
  // A gap that every fold agrees on.
  std::vector<ScoredPair> easy;
  for (int i = 0; i < 20; ++i) {
    easy.push_back({i % 2 == 0 ? .8 + i * .001 : .2 + i * .001, i % 2 == 0});
  }
  EXPECT_DOUBLE_EQ(*FoldAccuracy(easy), 1);
  // Whatever their order: the list itself is sorted by kind.
  std::vector<ScoredPair> sorted = easy;
  std::stable_partition(sorted.begin(), sorted.end(),
                        [](const ScoredPair& pair) { return pair.same; });
  EXPECT_DOUBLE_EQ(*FoldAccuracy(sorted), 1);
  // A pair above all others is wrong wherever it is tested: half of its fold.
  easy[18].same = false;
  EXPECT_DOUBLE_EQ(*FoldAccuracy(easy), 0.95);
}

TEST(VerificationTest, OneKindOfPairIsRefusedByAll) {
  const std::vector<ScoredPair> same = {{.9, true}, {.8, true}};
  EXPECT_EQ(ErrorReason(Roc(same).status()), "ONE_KIND_OF_PAIR");
  EXPECT_EQ(ErrorReason(EqualErrorRate({}).status()), "ONE_KIND_OF_PAIR");
  EXPECT_EQ(ErrorReason(TrueAcceptsAt(0.1, same).status()), "ONE_KIND_OF_PAIR");
  EXPECT_EQ(ErrorReason(FoldAccuracy(same).status()), "ONE_KIND_OF_PAIR");
  EXPECT_EQ(ErrorReason(FoldAccuracy(Pairs(), 9).status()), "TOO_FEW_PAIRS");
}

TEST(Rank1Test, CountsTheNearestOtherSampleOfThoseThatHaveAMate) {
  // Angles 0, 10, 60, 70 and 30 degrees; the last one has no mate.
  Embeddings embeddings;
  for (double degrees : {0, 10, 60, 70, 30}) {
    embeddings.values.push_back(
        static_cast<float>(std::cos(degrees * M_PI / 180)));
    embeddings.values.push_back(
        static_cast<float>(std::sin(degrees * M_PI / 180)));
  }
  embeddings.count = 5;
  embeddings.size = 2;
  EXPECT_DOUBLE_EQ(*Rank1(embeddings, {1, 1, 2, 2, 3}), 1);
  // Of 60 and 70 one belongs to 0 now: 0 and 70 find 10 and 60.
  EXPECT_DOUBLE_EQ(*Rank1(embeddings, {1, 1, 2, 1, 3}), 2.0 / 3);
  EXPECT_FALSE(Rank1(embeddings, {1, 2, 3, 4, 5}).has_value());
  // At most 12 of 25 comparisons: samples 0 and 3 alone, of which 0 finds its
  // mate.
  EXPECT_DOUBLE_EQ(*Rank1(embeddings, {1, 1, 2, 1, 3}, 12), 0.5);
}

}  // namespace
}  // namespace condense::evaluation
