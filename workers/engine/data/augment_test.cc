#include "workers/engine/data/augment.h"

#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace condense::data {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

Sample Image(int height, int width, int channels, std::vector<uint8_t> pixels) {
  return {height, width, channels, std::move(pixels), 0};
}

TEST(AugmentTest, FlipsAsOftenAsAsked) {
  for (const auto& [probability, expected] :
       {std::pair{0.5, 200}, {0.25, 100}, {1.0, 400}}) {
    Random random(1);
    int flipped = 0;
    for (int i = 0; i < 400; ++i) {
      Sample sample = Image(1, 3, 2, {1, 2, 3, 4, 5, 6});
      Augment(HorizontalFlip{probability}, {}, &random, &sample);
      if (sample.pixels[0] == 1) {
        EXPECT_THAT(sample.pixels, ElementsAre(1, 2, 3, 4, 5, 6));
      } else {
        // Pixels change places, channels do not.
        EXPECT_THAT(sample.pixels, ElementsAre(5, 6, 3, 4, 1, 2));
        ++flipped;
      }
    }
    EXPECT_NEAR(flipped, expected, 50);
  }
}

TEST(AugmentTest, CropsShiftByUpToThePaddingAndFillWithZeros) {
  const std::vector<uint8_t> pixels = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  std::set<std::vector<uint8_t>> expected;
  for (int dy = -1; dy <= 1; ++dy) {
    for (int dx = -1; dx <= 1; ++dx) {
      std::vector<uint8_t> shifted;
      for (int y = 0; y < 3; ++y) {
        for (int x = 0; x < 3; ++x) {
          const int fy = y + dy, fx = x + dx;
          const bool inside = fy >= 0 && fy < 3 && fx >= 0 && fx < 3;
          shifted.push_back(inside ? pixels[fy * 3 + fx] : 0);
        }
      }
      expected.insert(shifted);
    }
  }
  Random random(1);
  std::set<std::vector<uint8_t>> seen;
  for (int i = 0; i < 200; ++i) {
    Sample sample = Image(3, 3, 1, pixels);
    Augment(RandomCrop{1}, {}, &random, &sample);
    seen.insert(sample.pixels);
  }
  EXPECT_EQ(seen, expected);
}

TEST(AugmentTest, AShiftOutOfTheImageLeavesZeros) {
  Sample sample = Image(2, 2, 1, {1, 2, 3, 4});
  Shift(0, 5, &sample);
  EXPECT_THAT(sample.pixels, ElementsAre(0, 0, 0, 0));
}

TEST(AugmentTest, FloatsShiftAndFlipLikePixels) {
  Sample sample;
  sample.height = 1;
  sample.width = 3;
  sample.channels = 1;
  sample.values = {0.5f, -1, 2};
  Flip(&sample);
  EXPECT_THAT(sample.values, ElementsAre(2, -1, 0.5f));
  Shift(0, 1, &sample);
  EXPECT_THAT(sample.values, ElementsAre(-1, 0.5f, 0));
}

TEST(AugmentTest, ErasesASquareAsFarAsItIsInside) {
  Sample sample = Image(3, 3, 1, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  Erase(0, 2, 3, {50}, &sample);
  // Rows -1 to 1 and columns 1 to 3.
  EXPECT_THAT(sample.pixels, ElementsAre(1, 50, 50, 4, 50, 50, 7, 8, 9));
  Sample color = Image(1, 3, 2, {1, 2, 3, 4, 5, 6});
  Erase(0, 1, 1, {7, 8}, &color);
  EXPECT_THAT(color.pixels, ElementsAre(1, 2, 7, 8, 5, 6));
}

TEST(AugmentTest, CutoutCentresOnEveryPixelEquallyOften) {
  Random random(2);
  std::vector<int> counts(6);
  for (int i = 0; i < 6000; ++i) {
    Sample sample = Image(2, 3, 1, {1, 1, 1, 1, 1, 1});
    Augment(Cutout{1}, {9}, &random, &sample);
    for (int k = 0; k < 6; ++k) counts[k] += sample.pixels[k] == 9;
  }
  int sum = 0;
  for (int count : counts) {
    EXPECT_NEAR(count, 1000, 150);
    sum += count;
  }
  EXPECT_EQ(sum, 6000);
}

TEST(RandomResizedCropTest, TheRegionHasTheAreaAndTheRatioThatAreAskedFor) {
  const Sample sample = Image(60, 80, 1, {});
  const RandomResizedCrop crop = {
      .area_min = 0.2, .area_max = 0.4, .ratio_max = 1.5};
  Random random(3);
  double area_sum = 0;
  int wide = 0, top_most = 0;
  for (int i = 0; i < 2000; ++i) {
    const Region r = DrawRegion(crop, sample, &random);
    ASSERT_GE(r.top, 0);
    ASSERT_GE(r.left, 0);
    ASSERT_LE(r.top + r.height, 60);
    ASSERT_LE(r.left + r.width, 80);
    const double area = r.height * r.width / 4800.0;
    // Sides are rounded to whole pixels.
    ASSERT_NEAR(area, 0.3, 0.11);
    ASSERT_LT(std::abs(std::log(double{1} * r.width / r.height)),
              std::log(1.5) + 0.05);
    area_sum += area;
    wide += r.width > r.height;
    top_most = std::max(top_most, r.top);
  }
  EXPECT_NEAR(area_sum / 2000, 0.3, 0.01);
  EXPECT_NEAR(wide, 1000, 150);
  EXPECT_GT(top_most, 20);
}

TEST(RandomResizedCropTest, WhereNothingFitsTheLargestPartInTheMiddleIsTaken) {
  // All of the area with a ratio near 1 does not fit into a strip.
  Random random(3);
  const Region r = DrawRegion({.area_min = 1, .area_max = 1, .ratio_max = 1},
                              Image(10, 40, 1, {}), &random);
  EXPECT_EQ(r.top, 0);
  EXPECT_EQ(r.left, 15);
  EXPECT_EQ(r.height, 10);
  EXPECT_EQ(r.width, 10);
}

}  // namespace
}  // namespace condense::data
