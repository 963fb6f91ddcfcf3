// Seeded mutations of what people give: no reader may crash, and whatever is
// read must be whole. For sanitizers more than for itself.

#include "gtest/gtest.h"
#include "workers/engine/data/csv.h"
#include "workers/engine/data/data_test_files.h"
#include "workers/engine/data/image.h"
#include "workers/engine/data/npz.h"
#include "workers/engine/data/random.h"

namespace condense::data {
namespace {

constexpr int kMutations = 1500;

// Some bytes changed, or a cut, or a part twice.
std::string Mutated(std::string bytes, Random* random) {
  const auto place = [&] { return random->Below(bytes.size()); };
  switch (random->Below(4)) {
    case 0:
      return bytes.substr(0, place());
    case 1:
      return bytes.insert(place(), bytes.substr(place(), 9));
    default:
      for (uint64_t i = random->Below(4) + 1; i > 0; --i) {
        bytes[place()] = static_cast<char>(random->Below(256));
      }
      return bytes;
  }
}

TEST(MutationTest, DecodedImagesAreWholeOrRefused) {
  std::vector<uint8_t> pixels;
  for (int i = 0; i < 9 * 7 * 3; ++i) pixels.push_back(i * 37 % 256);
  const std::string images[] = {
      JpegBytes(7, 9, 3, pixels), PngBytes(7, 9, 3, pixels),
      "P6 9 7 255\n" + std::string(pixels.begin(), pixels.end())};
  Random random(17);
  int decoded = 0;
  for (const std::string& image : images) {
    for (int i = 0; i < kMutations; ++i) {
      const auto sample = DecodeImage(Mutated(image, &random));
      if (!sample.ok()) continue;
      ++decoded;
      ASSERT_EQ(sample->pixels.size(),
                size_t(sample->height) * sample->width * sample->channels);
      ASSERT_TRUE(sample->channels == 1 || sample->channels == 3);
    }
  }
  EXPECT_GT(decoded, 100);
}

TEST(MutationTest, ArraysAndTablesAreWholeOrRefused) {
  const std::string npy =
      std::string("\x93NUMPY\x01\0\x3b\0", 10) +
      "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3),}\n" +
      "abcdefghijkl";
  ASSERT_TRUE(ParseNpy("x", npy).ok()) << ParseNpy("x", npy).status();
  const std::string csv = "path,label\n\"a \"\"b\"\"\",1\nc,2\n";
  Random random(17);
  for (int i = 0; i < 20 * kMutations; ++i) {
    const std::string bytes = Mutated(npy, &random);
    const auto array = ParseNpy("x", bytes);
    if (array.ok()) {
      ASSERT_EQ(static_cast<int64_t>(array->data.size()),
                array->count() * array->size);
    }
    const auto table = ParseCsv("t", Mutated(csv, &random));
    if (!table.ok()) continue;
    for (const CsvTable::Row& row : table->rows) {
      ASSERT_EQ(row.cells.size(), table->header.size());
    }
  }
}

}  // namespace
}  // namespace condense::data
