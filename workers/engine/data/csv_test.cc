#include "workers/engine/data/csv.h"

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace condense::data {
namespace {

using ::testing::ElementsAre;

TEST(CsvTest, ReadsQuotesLineEndsMarksAndEmptyLines) {
  const auto table = ParseCsv("t.csv",
                              "\xef\xbb\xbfpath,label\r\n"
                              "a.png, cat \r\n"
                              "\n"
                              "\"b, \"\"c\"\"\nd.png\",\"\"\n"
                              "e.png,dog");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT(table->header, ElementsAre("path", "label"));
  ASSERT_EQ(table->rows.size(), 3u);
  EXPECT_THAT(table->rows[0].cells, ElementsAre("a.png", "cat"));
  EXPECT_EQ(table->rows[0].line, 2);
  EXPECT_THAT(table->rows[1].cells, ElementsAre("b, \"c\"\nd.png", ""));
  EXPECT_EQ(table->rows[1].line, 4);
  EXPECT_THAT(table->rows[2].cells, ElementsAre("e.png", "dog"));
  EXPECT_EQ(table->rows[2].line, 6);
}

TEST(CsvTest, MistakesAreNamedWithTheirLine) {
  const std::pair<const char*, const char*> cases[] = {
      {"a,b\n1,2\n3\n", "t.csv:3: the row has 1 cells, the header 2"},
      {"a,b\n1,2,3\n", "t.csv:2: the row has 3 cells, the header 2"},
      {"a,a\n", "t.csv:1: column 'a' is there twice"},
      {"a,,b\n", "t.csv:1: a column has no name"},
      {"a,b\n1,\"2\n3", "t.csv:2: a quote is not closed"},
      {"a,b\n\"1\"2,3\n", "t.csv:2: a quoted cell goes on after its quote"}};
  for (const auto& [text, message] : cases) {
    const absl::Status status = ParseCsv("t.csv", text).status();
    EXPECT_EQ(ErrorReason(status), "BAD_MANIFEST") << text;
    EXPECT_EQ(status.message(), message);
  }
}

}  // namespace
}  // namespace condense::data
