#include "workers/engine/data/image.h"

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/data/data_test_files.h"

namespace condense::data {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

TEST(ImageTest, ReadsAPngExactly) {
  const std::vector<uint8_t> rgb = {255, 0, 0, 0, 255, 0, 0, 0, 255,
                                    1,   2, 3, 4, 5,   6, 7, 8, 9};
  auto color = DecodeImage(PngBytes(2, 3, 3, rgb));
  ASSERT_TRUE(color.ok()) << color.status();
  EXPECT_EQ(color->height, 2);
  EXPECT_EQ(color->width, 3);
  EXPECT_EQ(color->channels, 3);
  EXPECT_THAT(color->pixels, ElementsAreArray(rgb));
  auto gray = DecodeImage(PngBytes(1, 4, 1, {0, 1, 128, 255}));
  ASSERT_TRUE(gray.ok()) << gray.status();
  EXPECT_EQ(gray->channels, 1);
  EXPECT_THAT(gray->pixels, ElementsAre(0, 1, 128, 255));
}

// A PNG written row by row: bit depths and kinds that the simple writer lacks.
std::string RawPng(int width, int depth, int color, std::vector<uint8_t> row,
                   const std::vector<png_color>& palette = {}) {
  std::string bytes;
  png_structp png =
      png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &bytes,
      [](png_structp p, png_bytep data, png_size_t size) {
        static_cast<std::string*>(png_get_io_ptr(p))
            ->append(reinterpret_cast<char*>(data), size);
      },
      nullptr);
  png_set_IHDR(png, info, width, 1, depth, color, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (!palette.empty()) {
    png_set_PLTE(png, info, palette.data(), static_cast<int>(palette.size()));
  }
  png_write_info(png, info);
  png_write_row(png, row.data());
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

TEST(ImageTest, SixteenBitsKeepTheUpperEight) {
  // 0x0000, 0x8000, 0xffff; big endian.
  auto sample = DecodeImage(
      RawPng(3, 16, PNG_COLOR_TYPE_GRAY, {0, 0, 0x80, 0, 0xff, 0xff}));
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_THAT(sample->pixels, ElementsAre(0, 128, 255));
}

TEST(ImageTest, APaletteBecomesItsColors) {
  auto sample = DecodeImage(RawPng(2, 8, PNG_COLOR_TYPE_PALETTE, {1, 0},
                                   {{10, 20, 30}, {200, 100, 50}}));
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_EQ(sample->channels, 3);
  EXPECT_THAT(sample->pixels, ElementsAre(200, 100, 50, 10, 20, 30));
}

TEST(ImageTest, ATransparentPixelIsBlack) {
  auto sample =
      DecodeImage(RawPng(2, 8, PNG_COLOR_TYPE_GRAY_ALPHA, {200, 255, 200, 0}));
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_EQ(sample->channels, 1);
  EXPECT_THAT(sample->pixels, ElementsAre(200, 0));
}

TEST(ImageTest, ReadsGrayAndColorJpegs) {
  auto gray = DecodeImage(FlatJpeg(8, 77));
  ASSERT_TRUE(gray.ok()) << gray.status();
  EXPECT_EQ(gray->channels, 1);
  EXPECT_EQ(gray->height, 8);
  EXPECT_THAT(gray->pixels, Each(77));
  std::vector<uint8_t> rgb;
  for (int i = 0; i < 16 * 24; ++i) rgb.insert(rgb.end(), {200, 40, 90});
  auto color = DecodeImage(JpegBytes(16, 24, 3, rgb));
  ASSERT_TRUE(color.ok()) << color.status();
  EXPECT_EQ(color->height, 16);
  EXPECT_EQ(color->width, 24);
  ASSERT_EQ(color->pixels.size(), rgb.size());
  for (size_t i = 0; i < rgb.size(); ++i) {
    EXPECT_NEAR(color->pixels[i], rgb[i], 2);
  }
}

// A JPEG of noise, so that every byte of its scan matters.
std::string NoiseJpeg() {
  std::vector<uint8_t> noise;
  for (int i = 0; i < 32 * 32; ++i) noise.push_back(i * 7919 % 251);
  return JpegBytes(32, 32, 1, noise);
}

TEST(ImageTest, BytesBetweenAndAfterTheMarkersOfAJpegDoNoHarm) {
  const std::string jpeg = NoiseJpeg();
  const auto whole = DecodeImage(jpeg);
  ASSERT_TRUE(whole.ok());
  // Before the last marker, before the first table, and after the end.
  const size_t table = jpeg.find("\xff\xdb");
  ASSERT_NE(table, std::string::npos);
  std::string before_table = jpeg, before_end = jpeg;
  before_table.insert(table, "xyz");
  before_end.insert(jpeg.size() - 2, "xyz");
  for (const std::string& bytes : {before_table, before_end, jpeg + "xyz"}) {
    const auto sample = DecodeImage(bytes);
    ASSERT_TRUE(sample.ok()) << sample.status();
    EXPECT_EQ(sample->pixels, whole->pixels);
  }
}

TEST(ImageTest, AJpegThatEndsEarlyIsCorruptAlsoWithoutItsEndMarkerAlone) {
  const std::string jpeg = NoiseJpeg();
  const std::string end = jpeg.substr(jpeg.size() - 2);
  for (const std::string& bytes :
       {jpeg.substr(0, jpeg.size() - 2), jpeg.substr(0, jpeg.size() / 2) + end,
        jpeg.substr(0, jpeg.size() - 40)}) {
    EXPECT_EQ(ErrorReason(DecodeImage(bytes).status()), "CORRUPT_IMAGE");
    // The decoder is as good as new for the next image.
    EXPECT_TRUE(DecodeImage(jpeg).ok());
  }
}

TEST(ImageTest, ReadsPgmAndPpmWithCommentsAndScalesToEightBits) {
  auto gray = DecodeImage("P5 # a face\n# of two rows\n3 2\n255\nabcdef");
  ASSERT_TRUE(gray.ok()) << gray.status();
  EXPECT_EQ(gray->height, 2);
  EXPECT_EQ(gray->width, 3);
  EXPECT_EQ(gray->channels, 1);
  EXPECT_THAT(gray->pixels, ElementsAre('a', 'b', 'c', 'd', 'e', 'f'));
  auto color = DecodeImage("P6\n1 2\n255 abcdef");
  ASSERT_TRUE(color.ok()) << color.status();
  EXPECT_EQ(color->channels, 3);
  EXPECT_THAT(color->pixels, ElementsAre('a', 'b', 'c', 'd', 'e', 'f'));
  // 15 is white, 7 * 255 / 15 = 119; 16 bits: 0x8000 * 255 / 65535 = 127.5.
  EXPECT_THAT(DecodeImage(std::string("P5 3 1 15 \0\x07\x0f", 13))->pixels,
              ElementsAre(0, 119, 255));
  EXPECT_THAT(
      DecodeImage(std::string("P5 2 1 65535 \x80\0\xff\xff", 17))->pixels,
      ElementsAre(128, 255));
}

TEST(ImageTest, RefusesDamagedPgm) {
  for (const char* bytes :
       {"P5", "P5 3", "P5 3 2", "P5 3 2 255", "P5 3 2 255 abcde", "P5 0 2 255 ",
        "P5 -3 2 255 abcdef", "P5 3 2 0 abcdef", "P5 3 2 70000 abcdef",
        "P5 99999 2 255 abc", "P5 1 1 9 z", "P5 # no end", "P2 1 1 255 9"}) {
    EXPECT_EQ(ErrorReason(DecodeImage(bytes).status()), "CORRUPT_IMAGE")
        << bytes;
  }
}

TEST(ImageTest, RefusesWhatIsCutDamagedOrNoImage) {
  const std::string png = PngBytes(16, 16, 3, std::vector<uint8_t>(768, 9));
  std::vector<uint8_t> noise;
  for (int i = 0; i < 32 * 32; ++i) noise.push_back(i * 7919 % 251);
  const std::string jpeg = JpegBytes(32, 32, 1, noise);
  std::string changed = png;
  changed[png.size() / 2] ^= 0x55;
  for (const std::string& bytes :
       {png.substr(0, png.size() / 2), png.substr(0, 10), changed,
        jpeg.substr(0, jpeg.size() / 2), jpeg.substr(0, 3),
        std::string("\xff\xd8 no"), std::string("GIF89a"), std::string()}) {
    const auto sample = DecodeImage(bytes);
    EXPECT_EQ(sample.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ErrorReason(sample.status()), "CORRUPT_IMAGE") << bytes.size();
  }
}

}  // namespace
}  // namespace condense::data
