#include "workers/engine/data/npz.h"

#include <cstring>

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"
#include "workers/engine/data/data_test_files.h"

namespace condense::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// As numpy.lib.format writes it: padded with spaces to a multiple of 64.
std::string Npy(const std::string& type, const std::string& shape,
                const std::string& data, int version = 1,
                const std::string& order = "False") {
  std::string header = "{'descr': '" + type + "', 'fortran_order': " + order +
                       ", 'shape': " + shape + ", }";
  const size_t begin = version == 1 ? 10 : 12;
  while ((begin + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(version);
  bytes += '\0';
  for (size_t i = 0; i + 8 < begin; ++i) {
    bytes += static_cast<char>(header.size() >> (8 * i));
  }
  return bytes + header + data;
}

template <typename T>
std::string Bytes(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

absl::StatusOr<std::unique_ptr<Dataset>> OpenWith(const std::string& x,
                                                  const std::string& y) {
  TempDir dir;
  WriteArchive(dir.path() + "/d.zip", {{"x.npy", x}, {"y.npy", y}});
  std::filesystem::rename(dir.path() + "/d.zip", dir.path() + "/d.npz");
  return OpenDataset(dir.path() + "/d.npz");
}

const std::string kTwoLabels = Npy("<i8", "(2,)", Bytes<int64_t>({4, 1}));

TEST(NpzTest, ReadsGrayChannelsLastAndChannelsFirst) {
  struct Case {
    const char* shape;
    std::vector<uint8_t> x, second;
    int height, width, channels;
  };
  const Case cases[] = {
      {"(2, 1, 2)", {1, 2, 3, 4}, {3, 4}, 1, 2, 1},
      {"(2, 1, 2, 1)", {1, 2, 3, 4}, {3, 4}, 1, 2, 1},
      {"(2, 1, 1, 3)", {1, 2, 3, 4, 5, 6}, {4, 5, 6}, 1, 1, 3},
      // Two planes of 1 x 2 become pixels of two channels.
      {"(2, 2, 1, 2)", {1, 2, 3, 4, 5, 6, 7, 8}, {5, 7, 6, 8}, 1, 2, 2}};
  for (const Case& c : cases) {
    for (int version : {1, 2, 3}) {
      const auto data =
          OpenWith(Npy("|u1", c.shape, Bytes(c.x), version), kTwoLabels);
      ASSERT_TRUE(data.ok()) << data.status();
      EXPECT_EQ((*data)->size(), 2);
      EXPECT_EQ((*data)->num_classes(), 5);
      const Sample sample = *(*data)->Get(1);
      EXPECT_EQ(sample.height, c.height);
      EXPECT_EQ(sample.width, c.width);
      EXPECT_EQ(sample.channels, c.channels);
      EXPECT_EQ(sample.pixels, c.second);
      EXPECT_EQ(sample.label, 1);
    }
  }
}

TEST(NpzTest, EveryWholeNumberTypeIsPixelsAndFloatsStayFloats) {
  const std::pair<const char*, std::string> types[] = {
      {"<i2", Bytes<int16_t>({7, 255})}, {"<u2", Bytes<uint16_t>({7, 255})},
      {"<i4", Bytes<int32_t>({7, 255})}, {"<u4", Bytes<uint32_t>({7, 255})},
      {"<i8", Bytes<int64_t>({7, 255})}, {"<u8", Bytes<uint64_t>({7, 255})}};
  for (const auto& [type, bytes] : types) {
    const auto data = OpenWith(Npy(type, "(2, 1, 1)", bytes), kTwoLabels);
    ASSERT_TRUE(data.ok()) << type << data.status();
    EXPECT_THAT((*data)->Get(0)->pixels, ElementsAre(7));
    EXPECT_THAT((*data)->Get(1)->pixels, ElementsAre(255));
  }
  for (const auto& [type, bytes] :
       {std::pair<const char*, std::string>{"<f4", Bytes<float>({-.5f, 300})},
        {"<f8", Bytes<double>({-.5, 300})}}) {
    const auto data = OpenWith(Npy(type, "(2, 1, 1)", bytes), kTwoLabels);
    ASSERT_TRUE(data.ok()) << type << data.status();
    EXPECT_TRUE((*data)->Get(0)->pixels.empty());
    EXPECT_THAT((*data)->Get(0)->values, ElementsAre(-.5f));
    EXPECT_THAT((*data)->Get(1)->values, ElementsAre(300));
  }
}

TEST(NpzTest, IsReadFromAFolderAndFromInsideOfAnArchive) {
  TempDir dir;
  const std::map<std::string, std::string> arrays = {
      {"x.npy", Npy("|u1", "(2, 1, 1)", "ab")}, {"y.npy", kTwoLabels}};
  WriteArchive(dir.path() + "/d.zip", arrays);
  std::ifstream in(dir.path() + "/d.zip", std::ios::binary);
  const std::string npz(std::istreambuf_iterator<char>(in), {});
  WriteBytes(dir.path() + "/folder/d.npz", npz);
  WriteArchive(dir.path() + "/d.tar", {{"d/d.npz", npz}, {"README", "hi"}});
  WriteBytes(dir.path() + "/bare/x.npy", arrays.at("x.npy"));
  WriteBytes(dir.path() + "/bare/y.npy", arrays.at("y.npy"));
  for (const char* path : {"/folder", "/d.tar", "/bare"}) {
    const auto data = OpenDataset(dir.path() + path);
    ASSERT_TRUE(data.ok()) << path << data.status();
    EXPECT_THAT((*data)->Get(1)->pixels, ElementsAre('b'));
  }
}

TEST(NpzTest, WhatIsWrongIsNamed) {
  const std::string x = Npy("|u1", "(2, 1, 1)", "ab");
  struct Case {
    std::string x, y;
    const char* message;
  };
  const Case cases[] = {
      {"PK", kTwoLabels, "x.npy: no .npy file"},
      {x.substr(0, 40), kTwoLabels, "x.npy: its .npy header is cut short"},
      {x.substr(0, x.size() - 1), kTwoLabels,
       "x.npy: it holds 1 bytes, its header tells of 2"},
      {Npy(">f4", "(2, 1, 1)", "12345678"), kTwoLabels,
       "elements of type >f4 are not read"},
      {Npy("|O", "(2, 1, 1)", ""), kTwoLabels, "elements of type |O"},
      {Npy("|u1", "(2, 1, 1", "ab"), kTwoLabels, "no shape"},
      {Npy("|u1", "(2, -1, 1)", "ab"), kTwoLabels, "a shape that cannot be"},
      {Npy("|u1", "(99999999, 99999999, 99999999)", "ab"), kTwoLabels,
       "a shape that cannot be"},
      {Npy("|u1", "(2, 1)", "ab"), kTwoLabels, "x is [2, 1]; images have"},
      {Npy("|u1", "(0, 1, 1)", ""), kTwoLabels, "x holds no image"},
      {Npy("|u1", "(2, 1, 1)", "ab", 1, "True"), kTwoLabels, "Fortran order"},
      {Npy("<i2", "(2, 1, 1)", Bytes<int16_t>({1, 256})), kTwoLabels,
       "x holds 256; pixels are 0 to 255"},
      {Npy("<f4", "(2, 1, 1)", Bytes<float>({1, NAN})), kTwoLabels,
       "x holds NaN or infinity"},
      {x, Npy("<i8", "(1,)", Bytes<int64_t>({1})), "y has 1 labels, x 2"},
      {x, Npy("<i8", "(2,)", Bytes<int64_t>({1, -1})), "y[1] is -1"},
      {x, Npy("<f4", "(2,)", Bytes<float>({1, 2})), "y is [2] of floats"},
      {x, Npy("<i8", "(2, 2)", Bytes<int64_t>({1, 0, 0, 1})), "y is [2, 2]"}};
  for (const Case& c : cases) {
    const absl::Status status = OpenWith(c.x, c.y).status();
    EXPECT_EQ(ErrorReason(status), "CORRUPT_DATA") << c.message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message));
  }
  TempDir dir;
  WriteArchive(dir.path() + "/d.zip", {{"images.npy", x}});
  std::filesystem::rename(dir.path() + "/d.zip", dir.path() + "/d.npz");
  for (const std::string& path : {dir.path() + "/d.npz", dir.path()}) {
    const absl::Status status = OpenDataset(path).status();
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("does not hold the arrays x and y"));
  }
}

}  // namespace
}  // namespace condense::data
