#include "workers/engine/data/file_tree.h"

#include <clocale>

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"
#include "workers/engine/data/data_test_files.h"

namespace condense::data {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(FileTreeTest, AFolderListsItsFilesInOrderOfPathWithoutHiddenOnes) {
  TempDir dir;
  WriteBytes(dir.path() + "/b/2.txt", "two");
  WriteBytes(dir.path() + "/a/1.txt", "1");
  WriteBytes(dir.path() + "/.cache/x", "hidden");
  WriteBytes(dir.path() + "/a/.DS_Store", "hidden");
  auto tree = FileTree::Open(dir.path());
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_THAT((*tree)->files(),
              ElementsAre(Pair("a/1.txt", 1), Pair("b/2.txt", 3)));
  EXPECT_EQ(*(*tree)->Read("b/2.txt"), "two");
}

TEST(FileTreeTest, ArchivesReadLikeTheFolder) {
  TempDir dir;
  for (const char* name : {"data.tar", "data.tar.gz", "data.zip"}) {
    const std::string path = dir.path() + "/" + name;
    WriteArchive(path, {{"a/1.txt", "1"}, {"./b/2.txt", "two"}, {".x", "no"}});
    auto tree = FileTree::Open(path);
    ASSERT_TRUE(tree.ok()) << name << tree.status();
    EXPECT_THAT((*tree)->files(),
                ElementsAre(Pair("a/1.txt", 1), Pair("b/2.txt", 3)))
        << name;
    EXPECT_EQ(*(*tree)->Read("b/2.txt"), "two") << name;
  }
}

TEST(FileTreeTest, NamesOutsideOfAsciiAreReadInEveryLocale) {
  TempDir dir;
  for (const char* name : {"data.tar", "data.zip"}) {
    const std::string path = dir.path() + "/" + name;
    std::setlocale(LC_CTYPE, "C.UTF-8");
    WriteArchive(path, {{"k\xc3\xa4se/1.txt", "1"}, {"z/2.txt", "2"}});
    std::setlocale(LC_CTYPE, "C");
    auto tree = FileTree::Open(path);
    ASSERT_TRUE(tree.ok()) << name << tree.status();
    EXPECT_THAT((*tree)->files(),
                ElementsAre(Pair("k\xc3\xa4se/1.txt", 1), Pair("z/2.txt", 1)))
        << name;
  }
}

TEST(FileTreeTest, TheLastFileOfANameInATarCounts) {
  TempDir dir;
  const std::string path = dir.path() + "/data.tar";
  WriteArchive(path, {{"./a.txt", "old"}, {"a.txt", "newer"}});
  auto tree = FileTree::Open(path);
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_THAT((*tree)->files(), ElementsAre(Pair("a.txt", 5)));
  EXPECT_EQ(*(*tree)->Read("a.txt"), "newer");
}

TEST(FileTreeTest, AMissingPathIsNotFound) {
  TempDir dir;
  const auto tree = FileTree::Open(dir.path() + "/none");
  EXPECT_EQ(tree.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrorReason(tree.status()), "DATA_NOT_FOUND");
}

TEST(FileTreeTest, AFileThatIsNoArchiveAndACutArchiveAreCorruptData) {
  TempDir dir;
  const std::string text = dir.path() + "/notes.txt";
  WriteBytes(text, "these are notes");
  const std::string whole = dir.path() + "/whole.zip";
  WriteArchive(whole, {{"a/1.txt", std::string(5000, 'x')}});
  std::ifstream in(whole, std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(in), {});
  const std::string cut = dir.path() + "/cut.zip";
  WriteBytes(cut, bytes.substr(0, 40));
  for (const std::string& path : {text, cut}) {
    const auto tree = FileTree::Open(path);
    EXPECT_EQ(ErrorReason(tree.status()), "CORRUPT_DATA") << path;
    EXPECT_THAT(std::string(tree.status().message()), HasSubstr(path));
  }
}

TEST(FileTreeTest, LinksThatLeadNowhereOrInCirclesAreLeftOut) {
  TempDir dir;
  WriteBytes(dir.path() + "/a/1.txt", "1");
  fs::create_symlink("self", dir.path() + "/self");
  fs::create_symlink("gone", dir.path() + "/a/dangling");
  fs::create_directory_symlink("..", dir.path() + "/a/up");
  auto tree = FileTree::Open(dir.path());
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_THAT((*tree)->files(), ElementsAre(Pair("a/1.txt", 1)));
}

TEST(FileTreeTest, LinksToFilesAndFoldersElsewhereAreFollowed) {
  TempDir dir, other;
  WriteBytes(other.path() + "/2.txt", "22");
  WriteBytes(dir.path() + "/a/1.txt", "1");
  fs::create_directory_symlink(other.path(), dir.path() + "/b");
  auto tree = FileTree::Open(dir.path());
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_THAT((*tree)->files(),
              ElementsAre(Pair("a/1.txt", 1), Pair("b/2.txt", 2)));
}

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
