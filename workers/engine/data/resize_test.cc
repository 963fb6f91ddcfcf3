#include "workers/engine/data/resize.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace condense::data {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;

Sample Image(int height, int width, int channels, std::vector<uint8_t> pixels) {
  return {height, width, channels, std::move(pixels), 0};
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

TEST(ResizeTest, AntialiasAveragesOverATriangle) {
  // Four pixels to two: the triangle reaches 2 pixels from the centres 1 and 3.
  // Pixels at .5, 1.5, 2.5 weigh .75, .75, .25 (of 1.75), so
  // (.75 * 0 + .75 * 70 + .25 * 140) / 1.75 = 50, and mirrored
  // (.25 * 70 + .75 * 140 + .75 * 210) / 1.75 = 160.
  const Sample in = Image(1, 4, 1, {0, 70, 140, 210});
  EXPECT_THAT(ResizeBilinear(in, 1, 2, true).pixels, ElementsAre(50, 160));
  // Two neighbours: (0 + 70) / 2 and (140 + 210) / 2.
  EXPECT_THAT(ResizeBilinear(in, 1, 2).pixels, ElementsAre(35, 175));
  const Sample column = Image(4, 1, 1, {0, 70, 140, 210});
  EXPECT_THAT(ResizeBilinear(column, 2, 1, true).pixels, ElementsAre(50, 160));
  // What grows has nothing to average.
  EXPECT_EQ(ResizeBilinear(in, 3, 9, true).pixels,
            ResizeBilinear(in, 3, 9).pixels);
}

TEST(ResizeTest, FloatsAreNotRounded) {
  Sample in;
  in.height = 1;
  in.width = 2;
  in.channels = 1;
  in.values = {-1, 0.5f};
  EXPECT_THAT(ResizeBilinear(in, 1, 1).values, ElementsAre(FloatEq(-0.25f)));
}

TEST(CropToTest, TakesTheRegionAndTheMiddle) {
  const Sample in = Image(3, 4, 1, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  const Sample out = CropTo(in, {1, 2, 2, 2});
  EXPECT_EQ(out.height, 2);
  EXPECT_THAT(out.pixels, ElementsAre(6, 7, 10, 11));
  EXPECT_THAT(CropTo(in, CenterOf(in, 1, 2)).pixels, ElementsAre(5, 6));
  EXPECT_THAT(CropTo(in, CenterOf(in, 2, 1)).pixels, ElementsAre(1, 5));
  const Sample color = Image(1, 2, 3, {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(CropTo(color, {0, 1, 1, 1}).pixels, ElementsAre(4, 5, 6));
}

}  // namespace
}  // namespace condense::data
