#include "client/cpp/tar.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/files.h"
#include "gtest/gtest.h"

namespace condense::client {
namespace {

namespace fs = std::filesystem;

class TarTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) /
            (std::string("tar_") +
             testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  void Write(const std::string& path, const std::string& content) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path, std::ios::binary) << content;
  }
  absl::StatusOr<TarSummary> Pack(const std::string& folder) {
    const std::string out = (root_ / "out.tar").string();
    const int fd = open(out.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
    auto summary = WriteFolderTar((root_ / folder).string(), fd);
    close(fd);
    return summary;
  }
  std::string Content() { return *ReadFile((root_ / "out.tar").string()); }

  fs::path root_;
};

TEST_F(TarTest, EqualFoldersGiveEqualBytesWhateverTheirTimesModesAndOrder) {
  Write("a/x/1.png", "one");
  Write("a/y/2.png", "two");
  Write("b/y/2.png", "two");
  Write("b/x/1.png", "one");
  chmod((root_ / "b/x/1.png").c_str(), 0600);
  fs::last_write_time(root_ / "b/y/2.png",
                      fs::file_time_type::clock::now() - std::chrono::hours(9));
  auto a = Pack("a");
  const std::string bytes = Content();
  auto b = Pack("b");
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(a->digest, b->digest);
  EXPECT_EQ(bytes, Content());
  EXPECT_EQ(a->digest, DigestOf(bytes));
  EXPECT_EQ(a->size_bytes, static_cast<int64_t>(bytes.size()));
  EXPECT_EQ(a->files, 2);
}

TEST_F(TarTest, AnotherNameOrContentGivesAnotherDigest) {
  Write("a/1", "one");
  Write("b/1", "two");
  Write("c/2", "one");
  const std::string a = Pack("a")->digest;
  EXPECT_NE(a, Pack("b")->digest);
  EXPECT_NE(a, Pack("c")->digest);
}

TEST_F(TarTest, EntriesAreSortedAndOwnedByNobodyAtTimeZero) {
  Write("a/b", "2");
  Write("a/a", "1");
  ASSERT_TRUE(Pack("a").ok());
  const std::string bytes = Content();
  // POSIX ustar: name at 0, uid at 108, mtime at 136; one header and one block
  // of content per file.
  EXPECT_EQ(std::string(bytes.c_str()), "a");
  EXPECT_EQ(std::string(bytes.c_str() + 1024), "b");
  EXPECT_EQ(bytes.substr(108, 6), "000000");
  EXPECT_EQ(bytes.substr(136, 11), "00000000000");
}

TEST_F(TarTest, LinksAreFollowed) {
  Write("a/real", "same");
  Write("b/real", "same");
  fs::create_symlink("real", root_ / "a/link");
  Write("b/link", "same");
  EXPECT_EQ(Pack("a")->digest, Pack("b")->digest);
}

TEST_F(TarTest, APipeInTheFolderIsRefusedByName) {
  Write("a/1", "one");
  ASSERT_EQ(mkfifo((root_ / "a/pipe").c_str(), 0600), 0);
  const absl::Status status = Pack("a").status();
  EXPECT_EQ(ErrorReason(status), "UNSUPPORTED_FILE");
  EXPECT_TRUE(absl::StrContains(status.message(), "a/pipe"));
}

TEST_F(TarTest, AFileOrNothingIsNoFolder) {
  Write("file", "x");
  EXPECT_EQ(ErrorReason(Pack("file").status()), "NOT_A_FOLDER");
  EXPECT_EQ(ErrorReason(Pack("nowhere").status()), "FILE_NOT_FOUND");
}

}  // namespace
}  // namespace condense::client
