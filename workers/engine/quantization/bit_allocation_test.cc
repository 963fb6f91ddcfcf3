#include "workers/engine/quantization/bit_allocation.h"

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/data/random.h"

namespace condense::quantization {
namespace {

using Layers = std::vector<std::vector<BitChoice>>;

struct Sums {
  double cost = 0;
  double loss = 0;
};

Sums SumsOf(const Layers& layers, const std::vector<size_t>& chosen) {
  Sums sums;
  for (size_t i = 0; i < layers.size(); ++i) {
    sums.cost += layers[i][chosen[i]].cost;
    sums.loss += layers[i][chosen[i]].loss;
  }
  return sums;
}

// The least loss of all combinations; infinite where none fits.
double ByBruteForce(const Layers& layers, double budget) {
  double best = std::numeric_limits<double>::infinity();
  std::vector<size_t> chosen(layers.size(), 0);
  for (;;) {
    const Sums sums = SumsOf(layers, chosen);
    if (sums.cost <= budget) best = std::min(best, sums.loss);
    size_t i = 0;
    while (i < layers.size() && ++chosen[i] == layers[i].size()) {
      chosen[i++] = 0;
    }
    if (i == layers.size()) return best;
  }
}

// Wider is dearer and loses less, by how much is random.
Layers RandomLayers(size_t count, data::Random* random) {
  Layers layers(count);
  for (auto& choices : layers) {
    double loss = 0, cost = 1000 + static_cast<double>(random->Below(1000));
    for (int bits : {8, 4, 2}) {
      choices.push_back({bits, loss, cost});
      loss += static_cast<double>(random->Below(10000));
      cost -= static_cast<double>(random->Below(500));
    }
  }
  return layers;
}

TEST(BitAllocationTest, TheLayerThatLosesMostForItsBitsKeepsThem) {
  const Layers layers = {{{8, 0, 8}, {4, 1, 4}, {2, 9, 2}},
                         {{8, 0, 8}, {4, 3, 4}, {2, 5, 2}}};
  // 4 + 8: 1 is lost; 8 + 4 would lose 3, 2 + 8 even 9.
  EXPECT_THAT(*AllocateBits(layers, 12), testing::ElementsAre(1, 0));
  EXPECT_THAT(*AllocateBits(layers, 16), testing::ElementsAre(0, 0));
  EXPECT_THAT(*AllocateBits(layers, 6), testing::ElementsAre(1, 2));
  EXPECT_THAT(*AllocateBits(layers, 4), testing::ElementsAre(2, 2));
  EXPECT_EQ(AllocateBits(layers, 3.9), std::nullopt);
}

TEST(BitAllocationTest, NoCombinationIsBetterThanTheOneFound) {
  data::Random random(5);
  for (int round = 0; round < 60; ++round) {
    const Layers layers = RandomLayers(7, &random);
    const double budget = 3500 + static_cast<double>(random.Below(9000));
    const double best = ByBruteForce(layers, budget);
    const auto chosen = AllocateBits(layers, budget);
    ASSERT_EQ(chosen.has_value(), best < 1e300) << budget;
    if (!chosen) continue;
    EXPECT_LE(SumsOf(layers, *chosen).cost, budget);
    EXPECT_DOUBLE_EQ(SumsOf(layers, *chosen).loss, best);
  }
}

TEST(BitAllocationTest, ThinnedStatesKeepTheBudgetAndAreClose) {
  data::Random random(6);
  const Layers layers = RandomLayers(40, &random);
  const double budget = 40 * 1100;
  const double exact =
      SumsOf(layers, *AllocateBits(layers, budget, 1000000)).loss;
  const auto chosen = AllocateBits(layers, budget, 500);
  EXPECT_LE(SumsOf(layers, *chosen).cost, budget);
  EXPECT_GE(SumsOf(layers, *chosen).loss, exact);
  EXPECT_LE(SumsOf(layers, *chosen).loss, 1.02 * exact);
}

TEST(BitAllocationTest, WithoutLayersNothingIsChosen) {
  EXPECT_THAT(*AllocateBits({}, 0), testing::IsEmpty());
}

}  // namespace
}  // namespace condense::quantization
