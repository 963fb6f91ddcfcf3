#include "workers/engine/import/archive_check.h"

#include "common/error.h"
#include "gtest/gtest.h"
#include "tests/testing/zip.h"

namespace condense::torchscript_import {
namespace {

using condense::testing::ZipOf;

// The pickle of an empty tuple.
const char kPickle[] = "\x80\x02).";

TEST(ArchiveCheckTest, ATorchScriptArchivePasses) {
  const std::string bytes =
      ZipOf({{"m/data.pkl", kPickle}, {"m/code/__torch__.py", "y"}});
  EXPECT_TRUE(IsArchive(bytes));
  EXPECT_TRUE(CheckArchive(bytes).ok()) << CheckArchive(bytes);
}

TEST(ArchiveCheckTest, ATruncatedArchiveOrAnotherZipIsNoModel) {
  std::string bytes = ZipOf({{"m/data.pkl", "x"}, {"m/code/a.py", "y"}});
  bytes.resize(bytes.size() / 2);
  EXPECT_EQ(ErrorReason(CheckArchive(bytes)), "NOT_A_MODEL");
  EXPECT_EQ(ErrorReason(CheckArchive(ZipOf({{"a.txt", "hello"}}))),
            "NOT_A_MODEL");
}

TEST(ArchiveCheckTest, AZipBombIsRefusedBeforeItIsUnpacked) {
  // 200 MiB of zeros pack into some 200 KiB.
  const std::string bytes = ZipOf(
      {{"m/data.pkl", std::string(200 << 20, '\0')}, {"m/code/a.py", "y"}});
  ASSERT_LT(bytes.size(), 1u << 20);
  EXPECT_EQ(ErrorReason(CheckArchive(bytes)), "ARCHIVE_TOO_LARGE");
}

TEST(ArchiveCheckTest, MembersOutsideOfTheFolderAreRefused) {
  EXPECT_EQ(ErrorReason(CheckArchive(ZipOf({{"../data.pkl", "x"}}))),
            "NOT_A_MODEL");
}

TEST(ArchiveCheckTest, APickleThatNamesWhatNoModelNeedsIsRefused) {
  const std::string bytes = ZipOf({{"m/data.pkl",
                                    "\x80\x02"
                                    "cos\nsystem\nX\x01\0\0\0a\x85R."},
                                   {"m/code/a.py", "y"}});
  EXPECT_EQ(ErrorReason(CheckArchive(bytes)), "NOT_A_MODEL");
}

TEST(ArchiveCheckTest, CodeThatWouldRunWhileLoadingIsRefused) {
  const absl::Status status = CheckArchive(ZipOf(
      {{"m/data.pkl", kPickle},
       {"m/code/a.py",
        "class A(Module):\n  def __setstate__(self, s: int) -> None:\n"}}));
  EXPECT_EQ(ErrorReason(status), "UNSUPPORTED_MODULE") << status;
}

TEST(CheckCodeTest, OrdinaryProgramsPass) {
  EXPECT_TRUE(CheckCode("class A(Module):\n"
                        "  def forward(self,\n    x: Tensor) -> Tensor:\n"
                        "    _0 = torch.format(\"((({}\\\" - - (\", x)\n"
                        "    return torch.add(x, torch.mul(x, -1.5))\n")
                  .ok());
}

TEST(CheckCodeTest, WhatTheCompilerRecursesOverIsBounded) {
  auto repeat = [](const std::string& text, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += text;
    return out;
  };
  for (const std::string& code :
       {"  x = " + repeat("(", 200) + "1", "  x = " + repeat("-", 5000) + "1",
        "  x = 1" + repeat(" + 1", 5000), "  x = " + repeat("not ", 5000) + "y",
        "  x = " + repeat("-\\\n", 5000) + "1",
        "  x = [" + repeat("\n  -1 +", 5000), repeat(" ", 1000) + "x = 1",
        repeat("  elif x:\n    pass\n", 5000),
        "  x: " + repeat("List[", 200) + "int"}) {
    EXPECT_EQ(ErrorReason(CheckCode(code)), "TOO_LARGE") << code.substr(0, 40);
  }
  EXPECT_EQ(ErrorReason(CheckCode("x = \"\"\"a\na \"\"\" + (((")),
            "NOT_A_MODEL");
}

}  // namespace
}  // namespace condense::torchscript_import
