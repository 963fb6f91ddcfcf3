#include "common/human.h"

#include "gtest/gtest.h"

namespace condense {
namespace {

TEST(HumanTest, NumbersHaveThreeDigitsAndDecimalUnits) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(999), "999 B");
  EXPECT_EQ(HumanBytes(1000), "1.00 kB");
  EXPECT_EQ(HumanBytes(71234), "71.2 kB");
  EXPECT_EQ(HumanBytes(412345), "412 kB");
  EXPECT_EQ(HumanBytes(999600), "1.00 MB");
  EXPECT_EQ(HumanCount(999), "999");
  EXPECT_EQ(HumanCount(41234567), "41.2 M");
  EXPECT_EQ(Percent(.9812, 1), "98.1 %");
}

TEST(TableTest, ColumnsAreAsWideAsTheirLongestCell) {
  EXPECT_EQ(Table({{"A", "LONG", "C"}, {"a \u2192 b", "x", "c"}}, 1),
            " A      LONG  C\n"
            " a \u2192 b  x     c\n");
  EXPECT_EQ(Table({{"A", ""}}), "A\n");
}

TEST(TableTest, NumbersEndInLine) {
  EXPECT_EQ(Table({{"A", "N", "B"}, {"a", "100", "b"}, {"a", "7", ""}}, 0, {1}),
            "A    N  B\n"
            "a  100  b\n"
            "a    7\n");
}

TEST(CutMiddleTest, KeepsBothEnds) {
  EXPECT_EQ(CutMiddle("abcdef", 6), "abcdef");
  EXPECT_EQ(CutMiddle("abcdefg", 6), "a..efg");
  EXPECT_EQ(CutMiddle("\u00e4\u00f6\u00fc\u00df\u00e9\u00e8", 3), "..\u00e8");
  EXPECT_EQ(CutMiddle("abc", 1), ".");
  for (int width = 0; width < 12; ++width) {
    EXPECT_LE(DisplayWidth(CutMiddle("a\u2192b\u2192c\u2192d\u2192", width)),
              width);
  }
}

}  // namespace
}  // namespace condense
