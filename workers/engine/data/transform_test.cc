#include "workers/engine/data/transform.h"

#include <set>

#include "common/error.h"
#include "common/status_macros.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace condense::data {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

Sample Image(int height, int width, int channels, std::vector<uint8_t> pixels) {
  return {height, width, channels, std::move(pixels), 0};
}

// From a sample to the floats of the model's input.
absl::Status ToFloats(const Preprocess& preprocess,
                      const std::vector<Augmentation>& augmentations,
                      Random* random, const InputShape& shape,
                      const Sample& sample, std::vector<float>* out,
                      InputShape* produced) {
  CONDENSE_ASSIGN_OR_RETURN(
      const Sample done,
      Prepare(preprocess, augmentations, random, shape, sample));
  *produced = {done.channels, done.height, done.width};
  out->resize(done.pixels.size() + done.values.size());
  Normalizer(preprocess).Write(done, out->data());
  return absl::OkStatus();
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

TEST(ReduceColorTest, TakesTheNearestOfEvenlySpreadValues) {
  // 2 bits: 0, 85, 170, 255, halfway at 42.5, 127.5 and 212.5.
  const std::pair<int, int> two_bits[] = {{0, 0},     {42, 0},    {43, 85},
                                          {127, 85},  {128, 170}, {212, 170},
                                          {213, 255}, {255, 255}};
  for (const auto& [pixel, reduced] : two_bits) {
    EXPECT_EQ(ReduceColor(static_cast<uint8_t>(pixel), 2), reduced) << pixel;
  }
  // 3 bits: level 3 of 7 is 109.29; 91 * 7 / 255 = 2.498, 92 * 7 / 255 = 2.525.
  EXPECT_EQ(ReduceColor(91, 3), 73);
  EXPECT_EQ(ReduceColor(92, 3), 109);
  for (int bits = 1; bits <= 8; ++bits) {
    std::set<int> values;
    for (int pixel = 0; pixel < 256; ++pixel) {
      const uint8_t once = ReduceColor(static_cast<uint8_t>(pixel), bits);
      EXPECT_EQ(ReduceColor(once, bits), once) << pixel << " " << bits;
      values.insert(once);
    }
    EXPECT_EQ(values.size(), size_t{1} << bits);
  }
}

TEST(PrepareTest, ColorsAreReducedAfterResizingAndBeforeNormalising) {
  Preprocess preprocess;
  preprocess.resize_height = 1;
  preprocess.resize_width = 1;
  preprocess.scale = 0.1;
  preprocess.mean = {1};
  preprocess.color_bits = 1;
  std::vector<float> out;
  InputShape shape;
  // The middle of 100 and 140 is 120, of which 1 bit makes 0; each reduced
  // first would have given 127 or 128, and (12.8 - 1) for the model.
  ASSERT_TRUE(ToFloats(preprocess, {}, nullptr, {}, Image(1, 2, 1, {100, 140}),
                       &out, &shape)
                  .ok());
  EXPECT_THAT(out, ElementsAre(-1.0f));
  preprocess.color_bits = 8;
  ASSERT_TRUE(ToFloats(preprocess, {}, nullptr, {}, Image(1, 2, 1, {100, 140}),
                       &out, &shape)
                  .ok());
  EXPECT_THAT(out, ElementsAre(FloatNear(11.0f, 1e-5f)));
}

TEST(PrepareTest, FloatsHaveNoColorsToReduce) {
  Preprocess preprocess;
  preprocess.color_bits = 4;
  Sample sample = {1, 1, 1, {}, 0, {0.5f}};
  const auto refused = Prepare(preprocess, {}, nullptr, {}, sample);
  EXPECT_EQ(ErrorReason(refused.status()), "FLOAT_IMAGES");
  EXPECT_EQ(ErrorDetailOf(refused.status()).field,
            "data.preprocess.color_bits");
  preprocess.color_bits = 8;
  EXPECT_TRUE(Prepare(preprocess, {}, nullptr, {}, sample).ok());
}

TEST(PrepareTest, ScalesShiftsAndPutsChannelsFirst) {
  Preprocess preprocess;
  preprocess.scale = 0.1;
  preprocess.mean = {1, 2, 3};
  preprocess.std = {1, 2, 4};
  std::vector<float> out;
  InputShape shape;
  // (pixel * .1 - mean) / std: red 10, 20 -> 0, 1; green 40, 0 -> 1, -1;
  // blue 70, 30 -> 1, 0.
  const Sample sample = Image(1, 2, 3, {10, 40, 70, 20, 0, 30});
  ASSERT_TRUE(ToFloats(preprocess, {}, nullptr, {}, sample, &out, &shape).ok());
  EXPECT_EQ(shape.channels, 3);
  EXPECT_EQ(shape.height, 1);
  EXPECT_EQ(shape.width, 2);
  EXPECT_THAT(
      out, Pointwise(FloatNear(1e-6f), std::vector<float>{0, 1, 1, -1, 1, 0}));
  preprocess.channels_last = true;
  ASSERT_TRUE(ToFloats(preprocess, {}, nullptr, {}, sample, &out, &shape).ok());
  EXPECT_THAT(
      out, Pointwise(FloatNear(1e-6f), std::vector<float>{0, 1, 1, 1, -1, 0}));
}

TEST(PrepareTest, OneMeanServesEveryChannel) {
  Preprocess preprocess;
  preprocess.mean = {10};
  preprocess.std = {2};
  std::vector<float> out;
  InputShape shape;
  ASSERT_TRUE(ToFloats(preprocess, {}, nullptr, {},
                       Image(1, 1, 3, {10, 12, 14}), &out, &shape)
                  .ok());
  EXPECT_THAT(out, ElementsAre(0, 1, 2));
}

TEST(PrepareTest, ResizesAndConvertsToWhatTheModelTakes) {
  Preprocess preprocess;
  preprocess.resize_height = 1;
  preprocess.resize_width = 4;
  std::vector<float> out;
  InputShape shape;
  ASSERT_TRUE(ToFloats(preprocess, {}, nullptr, {1, 1, 4},
                       Image(1, 2, 3, {0, 0, 0, 100, 100, 100}), &out, &shape)
                  .ok());
  EXPECT_THAT(out, ElementsAre(0, 25, 75, 100));
}

TEST(PrepareTest, AugmentsOnlyWithARandom) {
  const Sample sample = Image(1, 2, 1, {1, 2});
  std::vector<float> out;
  InputShape shape;
  Random random(1);
  std::set<std::vector<float>> seen;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(
        ToFloats({}, {HorizontalFlip{}}, nullptr, {}, sample, &out, &shape)
            .ok());
    EXPECT_THAT(out, ElementsAre(1, 2));
    ASSERT_TRUE(
        ToFloats({}, {HorizontalFlip{}}, &random, {}, sample, &out, &shape)
            .ok());
    seen.insert(out);
  }
  EXPECT_EQ(seen, (std::set<std::vector<float>>{{1, 2}, {2, 1}}));
}

TEST(PrepareTest, ASampleThatDoesNotFitIsRefusedWithBothShapes) {
  std::vector<float> out;
  InputShape shape;
  for (const InputShape& wanted :
       {InputShape{0, 4, 3}, InputShape{0, 2, 4}, InputShape{4, 2, 3}}) {
    const absl::Status status =
        ToFloats({}, {}, nullptr, wanted, Image(2, 3, 1, {1, 2, 3, 4, 5, 6}),
                 &out, &shape);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ErrorReason(status), "DATA_SHAPE_MISMATCH");
    EXPECT_THAT(std::string(status.message()), HasSubstr("1 x 2 x 3"));
    EXPECT_EQ(ErrorDetailOf(status).field, "data.preprocess");
  }
}

TEST(PrepareTest, CropsTheMiddleOfWhatWasResized) {
  Preprocess preprocess;
  preprocess.resize_height = preprocess.resize_width = 4;
  preprocess.crop_height = 1;
  preprocess.crop_width = 2;
  std::vector<float> out;
  InputShape shape;
  // Columns become 0, 25, 75, 100.
  ASSERT_TRUE(ToFloats(preprocess, {}, nullptr, {},
                       Image(2, 2, 1, {0, 100, 0, 100}), &out, &shape)
                  .ok());
  EXPECT_EQ(shape, (InputShape{1, 1, 2}));
  EXPECT_THAT(out, ElementsAre(25, 75));
  preprocess.resize_height = preprocess.resize_width = 0;
  preprocess.crop_width = 3;
  const absl::Status status =
      ToFloats(preprocess, {}, nullptr, {}, Image(2, 2, 1, {0, 100, 0, 100}),
               &out, &shape);
  EXPECT_EQ(ErrorReason(status), "DATA_SHAPE_MISMATCH");
  EXPECT_EQ(ErrorDetailOf(status).field, "data.preprocess.crop");
}

TEST(PrepareTest, ARandomResizedCropGivesTheModelsSizeInTrainingAlone) {
  const Sample sample = Image(4, 4, 1, std::vector<uint8_t>(16, 9));
  const std::vector<Augmentation> augmentations = {RandomResizedCrop{}};
  Random random(1);
  std::vector<float> out;
  InputShape shape;
  Preprocess preprocess;
  ASSERT_TRUE(ToFloats(preprocess, augmentations, &random, {1, 3, 2}, sample,
                       &out, &shape)
                  .ok());
  EXPECT_EQ(shape, (InputShape{1, 3, 2}));
  EXPECT_THAT(out, Each(9));
  EXPECT_FALSE(ToFloats(preprocess, augmentations, nullptr, {1, 3, 2}, sample,
                        &out, &shape)
                   .ok());
  preprocess.resize_height = preprocess.resize_width = 8;
  preprocess.crop_height = preprocess.crop_width = 6;
  ASSERT_TRUE(
      ToFloats(preprocess, augmentations, &random, {}, sample, &out, &shape)
          .ok());
  EXPECT_EQ(shape, (InputShape{1, 6, 6}));
}

TEST(PrepareTest, WhatIsCutOutIsZeroForTheModel) {
  Preprocess preprocess;
  preprocess.scale = 0.5;
  preprocess.mean = {10, 20, 30};
  std::vector<float> out;
  InputShape shape;
  Random random(1);
  ASSERT_TRUE(ToFloats(preprocess, {Cutout{9}}, &random, {},
                       Image(1, 2, 3, {1, 2, 3, 4, 5, 6}), &out, &shape)
                  .ok());
  EXPECT_THAT(out, Each(0));
}

TEST(PrepareTest, FloatsAreNormalisedAndConvertedButNotJittered) {
  Sample sample;
  sample.height = sample.width = 1;
  sample.channels = 3;
  sample.values = {1, 2, 3};
  Preprocess preprocess;
  preprocess.mean = {1};
  preprocess.std = {2};
  std::vector<float> out;
  InputShape shape;
  ASSERT_TRUE(
      ToFloats(preprocess, {}, nullptr, {3, 1, 1}, sample, &out, &shape).ok());
  EXPECT_THAT(out, ElementsAre(0, 0.5f, 1));
  // .299 + 2 * .587 + 3 * .114 = 1.815.
  ASSERT_TRUE(
      ToFloats(preprocess, {}, nullptr, {1, 1, 1}, sample, &out, &shape).ok());
  EXPECT_THAT(out, ElementsAre(FloatNear(0.4075f, 1e-6f)));
  Random random(1);
  EXPECT_EQ(ErrorReason(ToFloats(preprocess, {ColorJitter{}}, &random, {},
                                 sample, &out, &shape)),
            "FLOAT_IMAGES");
}

}  // namespace
}  // namespace condense::data
