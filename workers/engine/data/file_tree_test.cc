#include "workers/engine/data/file_tree.h"

#include <clocale>
#include <thread>

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

TEST(FileTreeTest, ReadsAnyFileAgainAndFromManyThreads) {
  TempDir dir;
  std::map<std::string, std::string> files;
  for (int i = 0; i < 50; ++i) {
    files["f" + std::to_string(i)] = std::string(700 * i, static_cast<char>(i));
  }
  for (const char* name : {"/data.tar", "/data.tar.gz", "/data.zip"}) {
    WriteArchive(dir.path() + name, files);
    auto tree = FileTree::Open(dir.path() + name);
    ASSERT_TRUE(tree.ok()) << tree.status();
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (const auto& [file, bytes] : files) {
          EXPECT_EQ(*(*tree)->Read(file), bytes) << name << file;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

TEST(FileTreeTest, AHardLinkInATarIsTheFileOnceMore) {
  TempDir dir;
  const std::string path = dir.path() + "/data.tar";
  archive* writer = archive_write_new();
  archive_write_set_format_pax_restricted(writer);
  archive_write_open_filename(writer, path.c_str());
  for (const char* name : {"./a.txt", "./b.txt"}) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    const bool link = name[2] == 'b';
    if (link) archive_entry_set_hardlink(entry, "./a.txt");
    archive_entry_set_size(entry, link ? 0 : 3);
    archive_write_header(writer, entry);
    if (!link) archive_write_data(writer, "one", 3);
    archive_entry_free(entry);
  }
  archive_write_free(writer);
  auto tree = FileTree::Open(path);
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_THAT((*tree)->files(),
              ElementsAre(Pair("a.txt", 3), Pair("b.txt", 3)));
  EXPECT_EQ(*(*tree)->Read("b.txt"), "one");
}

TEST(FileTreeTest, APlainTarThatIsCutIsCorruptData) {
  TempDir dir;
  const std::string path = dir.path() + "/data.tar";
  WriteArchive(path, {{"a.txt", std::string(5000, 'x')}});
  std::filesystem::resize_file(path, 3000);
  EXPECT_EQ(ErrorReason(FileTree::Open(path).status()), "CORRUPT_DATA");
}

TEST(FileTreeTest, AnArchiveInMemoryReadsLikeOneInAFile) {
  TempDir dir;
  const std::string path = dir.path() + "/data.zip";
  WriteArchive(path, {{"a.txt", "one"}});
  std::ifstream in(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  auto tree = FileTree::OpenBytes("inner.zip", bytes);
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(*(*tree)->Read("a.txt"), "one");
  EXPECT_EQ(ErrorReason((*tree)->Read("b.txt").status()), "CORRUPT_DATA");
  EXPECT_EQ(ErrorReason(FileTree::OpenBytes("x", "nothing").status()),
            "CORRUPT_DATA");
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

}  // namespace
}  // namespace condense::data
