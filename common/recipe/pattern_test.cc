#include "common/recipe/pattern.h"

#include "gtest/gtest.h"

namespace condense::recipe {
namespace {

TEST(PatternTest, WildcardsMatchWholeNames) {
  const Pattern pattern = *Pattern::Compile("layer?.conv*");
  EXPECT_TRUE(pattern.Matches("layer1.conv2"));
  EXPECT_TRUE(pattern.Matches("layer1.conv"));
  EXPECT_FALSE(pattern.Matches("layer12.conv"));
  EXPECT_FALSE(pattern.Matches("a.layer1.conv"));
  EXPECT_FALSE(pattern.Matches("layer1xconv")) << "a dot is a dot";
}

TEST(PatternTest, ExpressionsMatchWholeNames) {
  const Pattern pattern = *Pattern::Compile("re:.*head.*");
  EXPECT_TRUE(pattern.Matches("the.head.1"));
  EXPECT_FALSE(pattern.Matches("body"));
}

TEST(PatternTest, RefusesABrokenExpression) {
  EXPECT_FALSE(Pattern::Compile("re:(").ok());
}

}  // namespace
}  // namespace condense::recipe
