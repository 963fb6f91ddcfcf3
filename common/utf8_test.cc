#include "common/utf8.h"

#include <string>

#include "gtest/gtest.h"

namespace condense {
namespace {

TEST(Utf8Test, TakesWellFormedText) {
  for (const char* text : {"", "conv1.weight", "Schicht \xc3\xa4",
                           "\xe5\xb1\x82", "\xf0\x9f\x99\x82!"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
  }
}

TEST(Utf8Test, RefusesStrayCutOverlongAndSurrogateBytes) {
  for (const std::string text :
       {"a\xb6", "\xff", "\xc3", "\xe5\xb1", "\xf0\x9f\x99", "\xc0\x80",
        "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3("}) {
    EXPECT_FALSE(IsUtf8(text));
  }
}

}  // namespace
}  // namespace condense
