#include "workers/engine/evaluation/verification_pairs.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "workers/engine/data/packed.h"

namespace condense::evaluation {
namespace {

// "0+1 0-2": 0 and 1 show the same, 0 and 2 do not.
std::string Text(const std::vector<data::Pair>& pairs) {
  std::string text;
  for (const data::Pair& pair : pairs) {
    absl::StrAppend(&text, text.empty() ? "" : " ", pair.a,
                    pair.same ? "+" : "-", pair.b);
  }
  return text;
}

// Samples without pixels.
class Listed : public data::Dataset {
 public:
  Listed(std::vector<int64_t> labels, std::vector<data::Pair> pairs)
      : labels_(std::move(labels)) {
    pairs_ = std::move(pairs);
  }
  int64_t size() const override { return std::ssize(labels_); }
  int64_t num_classes() const override { return 0; }
  absl::StatusOr<data::Sample> Get(int64_t index) const override {
    data::Sample sample;
    sample.label = labels_[index];
    return sample;
  }

 private:
  const std::vector<int64_t> labels_;
};

TEST(PairsOfLabelsTest, FewSamplesAreAllPaired) {
  EXPECT_EQ(Text(PairsOfLabels({7, 8, 7}, 3, 1)), "0-1 0+2 1-2");
  EXPECT_EQ(Text(PairsOfLabels({7}, 3, 1)), "");
  EXPECT_EQ(Text(PairsOfLabels({}, 3, 1)), "");
}

TEST(PairsOfLabelsTest, OfManyAllSamePairsAndSomeOthersAreDrawnOnce) {
  // 100 subjects with 3 images: 300 same pairs, 44,550 others.
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 300; ++i) labels.push_back(i / 3);
  const auto pairs = PairsOfLabels(labels, 5000, 17);
  const PairCounts counts = Count(pairs);
  EXPECT_EQ(counts.same, 300);
  // 15 rings of 300, less the same pairs that they pass over.
  EXPECT_GE(counts.different, 4500 - 300);
  EXPECT_LE(counts.different, 4500);
  std::set<std::pair<int64_t, int64_t>> seen;
  std::vector<int64_t> of_sample(300);
  for (const data::Pair& pair : pairs) {
    EXPECT_LT(pair.a, pair.b);
    EXPECT_EQ(pair.same, labels[pair.a] == labels[pair.b]);
    EXPECT_TRUE(seen.insert({pair.a, pair.b}).second);
    ++of_sample[pair.a];
    ++of_sample[pair.b];
  }
  // Each sample has its mates and two others of every ring.
  for (int64_t count : of_sample) EXPECT_GE(count, 2 + 2 * 15 - 4);
  EXPECT_EQ(Text(PairsOfLabels(labels, 5000, 17)), Text(pairs));
  EXPECT_NE(Text(PairsOfLabels(labels, 5000, 18)), Text(pairs));
}

TEST(PairsOfLabelsTest, SamePairsAreThinnedToAHalf) {
  // Two subjects with 40 images: 1560 same pairs, 1600 others. A label with one
  // sample has no pair of its own.
  std::vector<int64_t> labels(81, 0);
  for (int64_t i = 40; i < 80; ++i) labels[i] = 1;
  labels[80] = 2;
  const PairCounts counts = Count(PairsOfLabels(labels, 1000, 3));
  EXPECT_NEAR(counts.same, 500, 60);
  EXPECT_NEAR(counts.different, 250, 120);
}

TEST(PairsAmongTest, TakesTheListAndLeavesOutWhatIsNotThere) {
  const Listed listed({0, 0, 0, 0},
                      {{2, 1, true}, {0, 3, false}, {3, 2, false}});
  EXPECT_EQ(Text(PairsAmong(listed, {0, 1, 2, 3}, 1)), "2+1 0-3 3-2");
  // Positions among the places, not the places.
  EXPECT_EQ(Text(PairsAmong(listed, {1, 2, 3}, 1)), "1+0 2-1");
  EXPECT_EQ(Text(PairsAmong(listed, {0}, 1)), "");
}

TEST(PairsAmongTest, WithoutAListLabelsSayWhatIsTheSame) {
  const Listed labelled({5, 6, 5}, {});
  EXPECT_EQ(Text(PairsAmong(labelled, {0, 1, 2}, 1)), "0-1 0+2 1-2");
  EXPECT_EQ(Text(PairsAmong(labelled, {0, 2}, 1)), "0+1");
}

}  // namespace
}  // namespace condense::evaluation
