#include "workers/engine/data/gunzip.h"

#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/engine/data/data_test_files.h"

namespace condense::data {
namespace {

TEST(GunzipTest, UnpacksOneMemberAndSeveral) {
  const std::string text(100000, 'q');
  EXPECT_EQ(*Gunzip(GzipBytes(text)), text);
  EXPECT_EQ(*Gunzip(GzipBytes("one ") + GzipBytes("two")), "one two");
}

TEST(GunzipTest, RefusesWhatIsCutOrChanged) {
  const std::string whole = GzipBytes(std::string(3000, 'q') + "end");
  std::string changed = whole;
  changed[changed.size() - 6] ^= 1;  // in the checksum
  for (const std::string& bytes : {whole.substr(0, whole.size() - 9), changed,
                                   std::string("no gzip"), std::string()}) {
    EXPECT_EQ(ErrorReason(Gunzip(bytes).status()), "CORRUPT_DATA");
  }
}

}  // namespace
}  // namespace condense::data
