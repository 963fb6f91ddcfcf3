#include "server/core/resource_names.h"

#include <random>

#include "common/error.h"
#include "gtest/gtest.h"

namespace condense {
namespace {

TEST(ResourceNamesTest, ANewJobsNameIsValidAndShort) {
  std::mt19937_64 random(17);
  const std::string name = NewJobName("default", random);
  EXPECT_TRUE(CheckJobName(name, "name").ok()) << name;
  EXPECT_EQ(name.size(), std::string("projects/default/jobs/j-8f3k2").size());
  EXPECT_EQ(ProjectOfJob(name), "default");
}

TEST(ResourceNamesTest, NamesOfAnotherFormAreRefused) {
  for (const char* name :
       {"", "j-8f3k2", "projects//jobs/j-1", "projects/p/jobs/",
        "projects/p/jobs/j-1/x", "projects/P/jobs/j-1", "projects/p/jobs/../x",
        "project/p/jobs/j-1"}) {
    const absl::Status status = CheckJobName(name, "name");
    EXPECT_EQ(ErrorReason(status), "BAD_NAME") << name;
    EXPECT_EQ(ErrorDetailOf(status).field, "name") << name;
  }
  EXPECT_FALSE(ProjectOfParent("projects/").ok());
  EXPECT_FALSE(ProjectOfParent("default").ok());
  EXPECT_EQ(ProjectOfParent("projects/a-1").value(), "a-1");
}

TEST(ResourceNamesTest, AUuidHasVersionFourAndItsVariant) {
  std::mt19937_64 random(17);
  for (int i = 0; i < 100; ++i) {
    const std::string uuid = NewUuid(random);
    ASSERT_EQ(uuid.size(), 36u);
    EXPECT_EQ(uuid[14], '4');
    EXPECT_NE(std::string("89ab").find(uuid[19]), std::string::npos) << uuid;
  }
}

TEST(ResourceNamesTest, APageTokenServesOnlyTheProjectItWasGivenFor) {
  const std::string token = PageToken("a", 42);
  EXPECT_EQ(PositionOfPageToken("a", token).value(), 42);
  EXPECT_EQ(ErrorReason(PositionOfPageToken("b", token).status()),
            "BAD_PAGE_TOKEN");
  EXPECT_EQ(ErrorReason(PositionOfPageToken("a", "42").status()),
            "BAD_PAGE_TOKEN");
}

}  // namespace
}  // namespace condense
