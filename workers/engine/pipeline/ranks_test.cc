#include "workers/engine/pipeline/ranks.h"

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace condense::pipeline {
namespace {

TEST(RanksTest, SeveralDevicesAreSeveralRanks) {
  EXPECT_THAT(DevicesOf("cuda:0,cuda:1"),
              testing::ElementsAre("cuda:0", "cuda:1"));
  EXPECT_THAT(DevicesOf(""), testing::IsEmpty());
  EXPECT_EQ(ResolveRanks({}, "cuda:0,cuda:1")->size, 2);
  EXPECT_EQ(ResolveRanks({}, "cpu")->size, 1);
  EXPECT_EQ(ResolveRanks({.size = 4}, "cpu")->size, 4);
  EXPECT_EQ(ResolveRanks({.rank = 1, .size = 2}, "cuda:0,cuda:1")->rank, 1);
}

TEST(RanksTest, NumbersThatDifferAreRefused) {
  for (const auto& [plan, device] :
       {std::pair<RankPlan, std::string>{{.size = 3}, "cuda:0,cuda:1"},
        {{.rank = 2, .size = 2}, "cpu"},
        {{.rank = -1}, "cpu"}}) {
    EXPECT_EQ(ErrorReason(ResolveRanks(plan, device).status()),
              "RANKS_MISMATCH");
  }
}

}  // namespace
}  // namespace condense::pipeline
