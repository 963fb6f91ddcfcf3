#include "workers/engine/pipeline/contain.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <vector>

#include "common/error.h"
#include "gtest/gtest.h"

namespace condense::pipeline {
namespace {

// In a child: limits stay with the process.
bool InChild(const std::function<bool()>& check) {
  const pid_t child = fork();
  if (child == 0) _exit(check() ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

rlim_t SoftLimit(__rlimit_resource resource) {
  rlimit limit = {};
  getrlimit(resource, &limit);
  return limit.rlim_cur;
}

TEST(ContainTest, AnEngineDumpsNothingAndGainsNothing) {
  EXPECT_TRUE(InChild([] {
    ContainProcess();
    return SoftLimit(RLIMIT_CORE) == 0 && SoftLimit(RLIMIT_NOFILE) <= 4096 &&
           SoftLimit(RLIMIT_STACK) >= (8 << 20) &&
           prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
  }));
}

TEST(ContainTest, MoreThanTheMemoryIsATypedErrorOnTheCpu) {
  EXPECT_TRUE(InChild([] {
    LimitMemory("cpu");
    if (SoftLimit(RLIMIT_DATA) != static_cast<rlim_t>(MemoryBytes())) {
      return false;
    }
    const absl::Status status = WithinMemory([] {
      std::vector<char> more(static_cast<size_t>(MemoryBytes()) + 1);
      return more.empty() ? absl::UnknownError("") : absl::OkStatus();
    });
    return absl::IsResourceExhausted(status) &&
           ErrorReason(status) == "OUT_OF_MEMORY";
  }));
  EXPECT_TRUE(InChild([] {
    const rlim_t before = SoftLimit(RLIMIT_DATA);
    LimitMemory("cuda:0");
    return SoftLimit(RLIMIT_DATA) == before;
  }));
}

TEST(ContainTest, WorkWithinTheMemoryIsWhatItSays) {
  EXPECT_TRUE(WithinMemory([] { return absl::OkStatus(); }).ok());
  EXPECT_TRUE(
      absl::IsNotFound(WithinMemory([] { return absl::NotFoundError("x"); })));
}

}  // namespace
}  // namespace condense::pipeline
