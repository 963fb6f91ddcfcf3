#include "workers/engine/data/transform.h"

#include <set>

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace condense::data {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

Sample Image(int height, int width, int channels, std::vector<uint8_t> pixels) {
  return {height, width, channels, std::move(pixels), 0};
}

TEST(RandomTest, TheSameSeedGivesTheSameStream) {
  // The reference values of SplitMix64 from state 1234567 (Vigna's splitmix64.c
  // as Rosetta Code prints them).
  Random random(1234567);
  EXPECT_EQ(random.Next(), 6457827717110365317ull);
  EXPECT_EQ(random.Next(), 3203168211198807973ull);
  Random a(5, 1), b(5, 1), other_stream(5, 2), other_seed(6, 1);
  const uint64_t first = a.Next();
  EXPECT_EQ(b.Next(), first);
  EXPECT_NE(other_stream.Next(), first);
  EXPECT_NE(other_seed.Next(), first);
}

TEST(RandomTest, BelowReachesEveryValueAndNothingElse) {
  Random random(3);
  std::vector<int> counts(7);
  for (int i = 0; i < 7000; ++i) ++counts.at(random.Below(7));
  // 1000 each; the standard deviation is 29.
  for (int count : counts) EXPECT_NEAR(count, 1000, 150);
}

TEST(RandomTest, ShuffleKeepsTheValuesAndReachesEveryOrder) {
  Random random(3);
  std::map<std::vector<int>, int> orders;
  for (int i = 0; i < 6000; ++i) {
    std::vector<int> values = {1, 2, 3};
    random.Shuffle(&values);
    ++orders[values];
  }
  EXPECT_EQ(orders.size(), 6u);
  for (const auto& [order, count] : orders) EXPECT_NEAR(count, 1000, 150);
}

TEST(ResizeTest, EnlargesBetweenThePixelCentres) {
  // Output centres at (i + .5) / 2 - .5: -.25 (clamped to 0), .25, .75, 1.25
  // (clamped to 1). 0, 100 becomes 0, 25, 75, 100.
  const Sample row = ResizeBilinear(Image(1, 2, 1, {0, 100}), 1, 4);
  EXPECT_EQ(row.width, 4);
  EXPECT_THAT(row.pixels, ElementsAre(0, 25, 75, 100));
  const Sample column = ResizeBilinear(Image(2, 1, 1, {0, 100}), 4, 1);
  EXPECT_EQ(column.height, 4);
  EXPECT_THAT(column.pixels, ElementsAre(0, 25, 75, 100));
}

TEST(ResizeTest, HalvesByTheMeanOfFourPixelsPerChannel) {
  // Centres fall between two pixels each way: (0 + 10 + 20 + 50) / 4 = 20 and,
  // in the second channel, 200 everywhere.
  const Sample out =
      ResizeBilinear(Image(2, 2, 2, {0, 200, 10, 200, 20, 200, 50, 200}), 1, 1);
  EXPECT_THAT(out.pixels, ElementsAre(20, 200));
}

TEST(ResizeTest, TheSameSizeChangesNothing) {
  const Sample in = Image(1, 3, 1, {9, 8, 7});
  EXPECT_EQ(ResizeBilinear(in, 1, 3).pixels, in.pixels);
}

TEST(ConvertColorTest, LumaIsThatOfBt601) {
  // .299 * 255 = 76.2, .587 * 255 = 149.7, .114 * 255 = 29.1;
  // .299 * 10 + .587 * 20 + .114 * 30 = 18.15.
  const Sample gray = ConvertColor(
      Image(1, 4, 3, {255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30}),
      Color::kGray, 0);
  EXPECT_EQ(gray.channels, 1);
  EXPECT_THAT(gray.pixels, ElementsAre(76, 150, 29, 18));
}

TEST(ConvertColorTest, FollowsTheModelUnlessTheRecipeSays) {
  const Sample gray = Image(1, 1, 1, {7});
  const Sample color = Image(1, 1, 3, {1, 2, 3});
  EXPECT_THAT(ConvertColor(gray, Color::kAsModel, 3).pixels,
              ElementsAre(7, 7, 7));
  EXPECT_THAT(ConvertColor(color, Color::kAsModel, 1).pixels, ElementsAre(2));
  EXPECT_THAT(ConvertColor(color, Color::kAsModel, 0).pixels,
              ElementsAre(1, 2, 3));
  EXPECT_THAT(ConvertColor(color, Color::kBgr, 3).pixels, ElementsAre(3, 2, 1));
  EXPECT_THAT(ConvertColor(color, Color::kRgb, 1).pixels, ElementsAre(1, 2, 3));
  EXPECT_THAT(ConvertColor(gray, Color::kBgr, 3).pixels, ElementsAre(7, 7, 7));
}

TEST(AugmentTest, FlipsHalfOfTheImages) {
  Random random(1);
  int flipped = 0;
  for (int i = 0; i < 400; ++i) {
    Sample sample = Image(1, 3, 2, {1, 2, 3, 4, 5, 6});
    Augment({.horizontal_flip = true}, &random, &sample);
    if (sample.pixels[0] == 1) {
      EXPECT_THAT(sample.pixels, ElementsAre(1, 2, 3, 4, 5, 6));
    } else {
      // Pixels change places, channels do not.
      EXPECT_THAT(sample.pixels, ElementsAre(5, 6, 3, 4, 1, 2));
      ++flipped;
    }
  }
  EXPECT_NEAR(flipped, 200, 50);
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
    Augment({.crop_padding = 1}, &random, &sample);
    seen.insert(sample.pixels);
  }
  EXPECT_EQ(seen, expected);
}

TEST(TransformTest, ScalesShiftsAndPutsChannelsFirst) {
  Preprocess preprocess;
  preprocess.scale = 0.1;
  preprocess.mean = {1, 2, 3};
  preprocess.std = {1, 2, 4};
  std::vector<float> out;
  InputShape shape;
  // (pixel * .1 - mean) / std: red 10, 20 -> 0, 1; green 40, 0 -> 1, -1;
  // blue 70, 30 -> 1, 0.
  const Sample sample = Image(1, 2, 3, {10, 40, 70, 20, 0, 30});
  ASSERT_TRUE(
      Transform(preprocess, {}, nullptr, {}, sample, &out, &shape).ok());
  EXPECT_EQ(shape.channels, 3);
  EXPECT_EQ(shape.height, 1);
  EXPECT_EQ(shape.width, 2);
  EXPECT_THAT(
      out, Pointwise(FloatNear(1e-6f), std::vector<float>{0, 1, 1, -1, 1, 0}));
  preprocess.channels_last = true;
  ASSERT_TRUE(
      Transform(preprocess, {}, nullptr, {}, sample, &out, &shape).ok());
  EXPECT_THAT(
      out, Pointwise(FloatNear(1e-6f), std::vector<float>{0, 1, 1, 1, -1, 0}));
}

TEST(TransformTest, OneMeanServesEveryChannel) {
  Preprocess preprocess;
  preprocess.mean = {10};
  preprocess.std = {2};
  std::vector<float> out;
  InputShape shape;
  ASSERT_TRUE(Transform(preprocess, {}, nullptr, {},
                        Image(1, 1, 3, {10, 12, 14}), &out, &shape)
                  .ok());
  EXPECT_THAT(out, ElementsAre(0, 1, 2));
}

TEST(TransformTest, ResizesAndConvertsToWhatTheModelTakes) {
  Preprocess preprocess;
  preprocess.resize_height = 1;
  preprocess.resize_width = 4;
  std::vector<float> out;
  InputShape shape;
  ASSERT_TRUE(Transform(preprocess, {}, nullptr, {1, 1, 4},
                        Image(1, 2, 3, {0, 0, 0, 100, 100, 100}), &out, &shape)
                  .ok());
  EXPECT_THAT(out, ElementsAre(0, 25, 75, 100));
}

TEST(TransformTest, AugmentsOnlyWithARandom) {
  const Sample sample = Image(1, 2, 1, {1, 2});
  std::vector<float> out;
  InputShape shape;
  Random random(1);
  std::set<std::vector<float>> seen;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(Transform({}, {{.horizontal_flip = true}}, nullptr, {}, sample,
                          &out, &shape)
                    .ok());
    EXPECT_THAT(out, ElementsAre(1, 2));
    ASSERT_TRUE(Transform({}, {{.horizontal_flip = true}}, &random, {}, sample,
                          &out, &shape)
                    .ok());
    seen.insert(out);
  }
  EXPECT_EQ(seen, (std::set<std::vector<float>>{{1, 2}, {2, 1}}));
}

TEST(TransformTest, ASampleThatDoesNotFitIsRefusedWithBothShapes) {
  std::vector<float> out;
  InputShape shape;
  for (const InputShape& wanted :
       {InputShape{0, 4, 3}, InputShape{0, 2, 4}, InputShape{4, 2, 3}}) {
    const absl::Status status =
        Transform({}, {}, nullptr, wanted, Image(2, 3, 1, {1, 2, 3, 4, 5, 6}),
                  &out, &shape);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ErrorReason(status), "DATA_SHAPE_MISMATCH");
    EXPECT_THAT(std::string(status.message()), HasSubstr("1 x 2 x 3"));
    EXPECT_EQ(ErrorDetailOf(status).field, "data.preprocess");
  }
}

}  // namespace
}  // namespace condense::data
