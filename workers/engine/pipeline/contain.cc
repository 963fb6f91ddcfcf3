#include "workers/engine/pipeline/contain.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <string>

#include "absl/strings/numbers.h"
#include "common/error.h"
#include "common/files.h"

namespace condense::pipeline {
namespace {

constexpr rlim_t kOpenFiles = 4096;
constexpr rlim_t kStackBytes = rlim_t{64} << 20;

// Lowers the limit, or raises it as far as the hard one allows.
void Limit(__rlimit_resource resource, rlim_t bound) {
  rlimit limit = {};
  if (getrlimit(resource, &limit) != 0) return;
  limit.rlim_cur = std::min(bound, limit.rlim_max);
  setrlimit(resource, &limit);
}

}  // namespace

int64_t MemoryBytes() {
  const int64_t machine =
      int64_t{sysconf(_SC_PHYS_PAGES)} * int64_t{sysconf(_SC_PAGESIZE)};
  const auto text = ReadFile("/sys/fs/cgroup/memory.max");
  int64_t group = 0;
  if (!text.ok() || !absl::SimpleAtoi(*text, &group) || group <= 0) {
    return machine;
  }
  return std::min(machine, group);
}

void ContainProcess() {
  Limit(RLIMIT_CORE, 0);
  Limit(RLIMIT_NOFILE, kOpenFiles);
  Limit(RLIMIT_STACK, kStackBytes);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

void LimitMemory(const std::string& resolved_device) {
  if (resolved_device != "cpu") return;
  Limit(RLIMIT_DATA, static_cast<rlim_t>(MemoryBytes()));
}

absl::Status WithinMemory(const std::function<absl::Status()>& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return MakeError(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                     "the machine's memory is not enough",
                     {.hint = "use a machine with more memory"});
  }
}

}  // namespace condense::pipeline
