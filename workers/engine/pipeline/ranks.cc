#include "workers/engine/pipeline/ranks.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"

extern char** environ;

namespace condense::pipeline {

std::vector<std::string> DevicesOf(const std::string& device) {
  return absl::StrSplit(device, ',', absl::SkipWhitespace());
}

absl::StatusOr<RankPlan> ResolveRanks(const RankPlan& plan,
                                      const std::string& device) {
  RankPlan out = plan;
  const int devices = static_cast<int>(DevicesOf(device).size());
  if (devices > 1 && out.size == 1) out.size = devices;
  const bool fits = devices <= 1 || devices == out.size;
  if (fits && out.rank >= 0 && out.rank < out.size) return out;
  return MakeError(absl::StatusCode::kInvalidArgument, "RANKS_MISMATCH",
                   absl::StrCat("rank ", plan.rank, " of ", plan.size, " on ",
                                devices, " devices"),
                   {.hint = "one device for each rank, or one for all"});
}

absl::StatusOr<std::unique_ptr<ChildRanks>> ChildRanks::Start(
    const std::string& job_dir, int size) {
  std::unique_ptr<ChildRanks> ranks(new ChildRanks());
  CONDENSE_RETURN_IF_ERROR(MakeWritableFolder(job_dir));
  ranks->file_ = absl::StrCat(job_dir, "/.ranks-", getpid());
  ranks->rendezvous_ = "file://" + ranks->file_;
  ::unlink(ranks->file_.c_str());
  for (int rank = 1; rank < size; ++rank) {
    std::vector<std::string> words = {SelfPath(),
                                      "run",
                                      job_dir,
                                      "--rank",
                                      absl::StrCat(rank),
                                      "--world-size",
                                      absl::StrCat(size),
                                      "--rendezvous",
                                      ranks->rendezvous_};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_t child = 0;
    const int error = posix_spawn(&child, arguments[0], nullptr, nullptr,
                                  arguments.data(), environ);
    if (error != 0) {
      return MakeError(
          absl::StatusCode::kInternal, "RANK_NOT_STARTED",
          absl::StrCat("cannot start rank ", rank, ": ", std::strerror(error)));
    }
    ranks->children_.push_back(child);
  }
  return ranks;
}

ChildRanks::~ChildRanks() {
  for (pid_t child : children_) kill(child, SIGKILL);
  for (pid_t child : children_) waitpid(child, nullptr, 0);
  ::unlink(file_.c_str());
}

}  // namespace condense::pipeline
