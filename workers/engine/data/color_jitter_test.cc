#include "workers/engine/data/color_jitter.h"

#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace condense::data {
namespace {

using ::testing::ElementsAre;

Sample Image(int height, int width, int channels, std::vector<uint8_t> pixels) {
  return {height, width, channels, std::move(pixels), 0};
}

TEST(ColorJitterTest, BrightnessBlendsWithBlack) {
  Sample sample = Image(1, 1, 3, {10, 101, 200});
  AdjustBrightness(1.5, &sample);
  EXPECT_THAT(sample.pixels, ElementsAre(15, 152, 255));
  AdjustBrightness(0, &sample);
  EXPECT_THAT(sample.pixels, ElementsAre(0, 0, 0));
}

TEST(ColorJitterTest, ContrastBlendsWithTheMeanLuma) {
  // Luma of (100, 0, 0) is 29.9, of (0, 0, 200) 22.8; rounded 30 and 23, their
  // mean 26.5, rounded 27. .5 * pixel + 13.5.
  Sample color = Image(1, 2, 3, {100, 0, 0, 0, 0, 200});
  AdjustContrast(0.5, &color);
  EXPECT_THAT(color.pixels, ElementsAre(64, 14, 14, 14, 14, 114));
  // Mean 50: 2 * pixel - 50.
  Sample gray = Image(1, 2, 1, {40, 60});
  AdjustContrast(2, &gray);
  EXPECT_THAT(gray.pixels, ElementsAre(30, 70));
}

TEST(ColorJitterTest, SaturationBlendsWithEachPixelsLuma) {
  // Luma 18.15, rounded 18: .5 * pixel + 9, and 18 alone.
  Sample sample = Image(1, 1, 3, {10, 20, 30});
  AdjustSaturation(0.5, &sample);
  EXPECT_THAT(sample.pixels, ElementsAre(14, 19, 24));
  Sample gone = Image(1, 1, 3, {10, 20, 30});
  AdjustSaturation(0, &gone);
  EXPECT_THAT(gone.pixels, ElementsAre(18, 18, 18));
  Sample gray = Image(1, 1, 1, {10});
  AdjustSaturation(0, &gray);
  EXPECT_THAT(gray.pixels, ElementsAre(10));
}

TEST(ColorJitterTest, HueTurnsAroundTheCircle) {
  // Red becomes green after a third, blue after two, yellow after a sixth.
  for (const auto& [turn, expected] :
       {std::pair<double, std::vector<uint8_t>>{1 / 3.0, {0, 200, 0}},
        {-1 / 3.0, {0, 0, 200}},
        {1 / 6.0, {200, 200, 0}},
        {0.5, {0, 200, 200}},
        {0.0, {200, 0, 0}}}) {
    Sample sample = Image(1, 1, 3, {200, 0, 0});
    AdjustHue(turn, &sample);
    EXPECT_EQ(sample.pixels, expected) << turn;
  }
  // (110, 60, 10): hue .5 of a sixth, value 110, chroma 100. A quarter more is
  // two sixths: (10, 110, 10).
  Sample brown = Image(1, 1, 3, {110, 60, 10});
  AdjustHue(0.25, &brown);
  EXPECT_THAT(brown.pixels, ElementsAre(10, 110, 10));
  Sample gray = Image(1, 1, 3, {7, 7, 7});
  AdjustHue(0.3, &gray);
  EXPECT_THAT(gray.pixels, ElementsAre(7, 7, 7));
}

TEST(ColorJitterTest, ATurnThereAndBackChangesNothingButRounding) {
  for (int i = 0; i < 200; ++i) {
    Random random(i);
    const std::vector<uint8_t> rgb = {static_cast<uint8_t>(random.Below(256)),
                                      static_cast<uint8_t>(random.Below(256)),
                                      static_cast<uint8_t>(random.Below(256))};
    Sample sample = Image(1, 1, 3, rgb);
    const double turn = random.Uniform(-0.5, 0.5);
    AdjustHue(turn, &sample);
    AdjustHue(-turn, &sample);
    for (int c = 0; c < 3; ++c) EXPECT_NEAR(sample.pixels[c], rgb[c], 1) << i;
  }
}

TEST(ColorJitterTest, FactorsAreDrawnEvenlyFromTheirRange) {
  Random random(5);
  double sum = 0;
  int least = 255, most = 0;
  for (int i = 0; i < 4000; ++i) {
    Sample sample = Image(1, 1, 1, {100});
    Jitter({.brightness = 0.4}, &random, &sample);
    sum += sample.pixels[0];
    least = std::min<int>(least, sample.pixels[0]);
    most = std::max<int>(most, sample.pixels[0]);
  }
  EXPECT_NEAR(sum / 4000, 100, 2);
  EXPECT_EQ(least, 60);
  EXPECT_EQ(most, 140);
}

TEST(ColorJitterTest, TheOrderIsDrawnTooAndTheSeedDecidesAll) {
  const ColorJitter jitter = {
      .brightness = 1, .contrast = 1, .saturation = 1, .hue = 0.5};
  std::set<std::vector<uint8_t>> seen;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Random a(seed), b(seed);
    Sample one = Image(1, 2, 3, {10, 100, 200, 90, 30, 60}), two = one;
    Jitter(jitter, &a, &one);
    Jitter(jitter, &b, &two);
    EXPECT_EQ(one.pixels, two.pixels);
    seen.insert(one.pixels);
  }
  EXPECT_GT(seen.size(), 15u);
}

}  // namespace
}  // namespace condense::data
