#include "workers/engine/import/archive_check.h"

#include <archive.h>
#include <archive_entry.h>

#include <map>

#include "common/error.h"
#include "gtest/gtest.h"

namespace condense::torchscript_import {
namespace {

std::string Zip(const std::map<std::string, std::string>& files) {
  std::string bytes(1 << 20, '\0');
  size_t used = 0;
  archive* writer = archive_write_new();
  archive_write_set_format_zip(writer);
  archive_write_open_memory(writer, bytes.data(), bytes.size(), &used);
  for (const auto& [name, content] : files) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_size(entry, static_cast<int64_t>(content.size()));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_write_header(writer, entry);
    archive_write_data(writer, content.data(), content.size());
    archive_entry_free(entry);
  }
  archive_write_close(writer);
  archive_write_free(writer);
  bytes.resize(used);
  return bytes;
}

TEST(ArchiveCheckTest, ATorchScriptArchivePasses) {
  const std::string bytes =
      Zip({{"m/data.pkl", "x"}, {"m/code/__torch__.py", "y"}});
  EXPECT_TRUE(IsArchive(bytes));
  EXPECT_TRUE(CheckArchive(bytes).ok()) << CheckArchive(bytes);
}

TEST(ArchiveCheckTest, ATruncatedArchiveOrAnotherZipIsNoModel) {
  std::string bytes = Zip({{"m/data.pkl", "x"}, {"m/code/a.py", "y"}});
  bytes.resize(bytes.size() / 2);
  EXPECT_EQ(ErrorReason(CheckArchive(bytes)), "NOT_A_MODEL");
  EXPECT_EQ(ErrorReason(CheckArchive(Zip({{"a.txt", "hello"}}))),
            "NOT_A_MODEL");
}

TEST(ArchiveCheckTest, AZipBombIsRefusedBeforeItIsUnpacked) {
  // 200 MiB of zeros pack into some 200 KiB.
  const std::string bytes =
      Zip({{"m/data.pkl", std::string(200 << 20, '\0')}, {"m/code/a.py", "y"}});
  ASSERT_LT(bytes.size(), 1u << 20);
  EXPECT_EQ(ErrorReason(CheckArchive(bytes)), "ARCHIVE_TOO_LARGE");
}

TEST(ArchiveCheckTest, MembersOutsideOfTheFolderAreRefused) {
  EXPECT_EQ(ErrorReason(CheckArchive(Zip({{"../data.pkl", "x"}}))),
            "NOT_A_MODEL");
}

}  // namespace
}  // namespace condense::torchscript_import
