#include "workers/engine/import/external_data.h"

#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/files.h"
#include "gtest/gtest.h"

namespace condense::onnx_import {
namespace {

namespace fs = std::filesystem;

class ExternalDataTest : public ::testing::Test {
 protected:
  ExternalDataTest()
      : folder_(absl::StrCat(::testing::TempDir(), "/external_data-", getpid())),
        external_(folder_ + "/model") {
    fs::create_directories(folder_ + "/model/sub");
    EXPECT_TRUE(
        WriteFileAtomically(folder_ + "/model/w.bin", "0123456789").ok());
    EXPECT_TRUE(WriteFileAtomically(folder_ + "/model/sub/v", "abcd").ok());
    EXPECT_TRUE(WriteFileAtomically(folder_ + "/secret", "secret").ok());
  }
  ~ExternalDataTest() override { fs::remove_all(folder_); }

  using Entries = std::vector<std::pair<std::string, std::string>>;
  absl::StatusOr<std::string> Read(const Entries& entries, int64_t bytes) {
    onnx::TensorProto proto;
    for (const auto& [key, value] : entries) {
      auto* entry = proto.add_external_data();
      entry->set_key(key);
      entry->set_value(value);
    }
    return external_.Read(proto, bytes);
  }
  std::string Reason(const Entries& entries, int64_t bytes) {
    return ErrorReason(Read(entries, bytes).status());
  }

  const std::string folder_;
  ExternalData external_;
};

TEST_F(ExternalDataTest, ReadsFromOffsetsAndFoldersBelow) {
  EXPECT_EQ(*Read({{"location", "w.bin"}}, 3), "012");
  EXPECT_EQ(*Read({{"location", "w.bin"}, {"offset", "7"}, {"length", "3"}}, 3),
            "789");
  EXPECT_EQ(*Read({{"location", "sub/../sub/v"}}, 4), "abcd");
}

TEST_F(ExternalDataTest, LocationsStayInTheFolder) {
  EXPECT_EQ(Reason({{"location", "../secret"}}, 6), "BAD_EXTERNAL_DATA");
  EXPECT_EQ(Reason({{"location", folder_ + "/secret"}}, 6),
            "BAD_EXTERNAL_DATA");
  fs::create_symlink("../secret", folder_ + "/model/link");
  EXPECT_EQ(Reason({{"location", "link"}}, 6), "BAD_EXTERNAL_DATA");
  EXPECT_EQ(Reason({}, 6), "BAD_EXTERNAL_DATA");
  EXPECT_EQ(Reason({{"location", "sub"}}, 0), "BAD_EXTERNAL_DATA")
      << "a folder";
  EXPECT_EQ(Reason({{"location", "absent"}}, 1), "BAD_EXTERNAL_DATA");
}

TEST_F(ExternalDataTest, OffsetsAndLengthsMustFit) {
  for (const Entries& entries :
       {Entries{{"offset", "-1"}}, Entries{{"offset", "8"}},
        Entries{{"offset", "9223372036854775807"}}, Entries{{"offset", "x"}},
        Entries{{"length", "2"}}, Entries{{"length", "-3"}}}) {
    Entries all = {{"location", "w.bin"}};
    all.insert(all.end(), entries.begin(), entries.end());
    EXPECT_EQ(Reason(all, 3), "BAD_EXTERNAL_DATA")
        << entries[0].first << entries[0].second;
  }
  EXPECT_EQ(Reason({{"location", "w.bin"}}, 11), "BAD_EXTERNAL_DATA");
}

TEST_F(ExternalDataTest, AFileIsNotReadWithoutEnd) {
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(Read({{"location", "w.bin"}}, 10).ok()) << i;
  }
  EXPECT_EQ(Reason({{"location", "w.bin"}}, 1), "BAD_EXTERNAL_DATA");
}

}  // namespace
}  // namespace condense::onnx_import
