#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_RANKS_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_RANKS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace condense::pipeline {

// How one job is shared by several engine processes that train data-parallel.
struct RankPlan {
  // Of this process.
  int rank = 0;
  int size = 1;
  // As training::RankOptions; empty: this process, rank 0, starts the others.
  std::string rendezvous;

  bool leads() const { return rank == 0; }
};

// The devices that a job file names: "cuda:0,cuda:1" are two.
std::vector<std::string> DevicesOf(const std::string& device);

// What the plan becomes for a job: as many ranks as it names devices, where the
// plan has one. INVALID_ARGUMENT with reason RANKS_MISMATCH where both name
// numbers and they differ, or the rank is not below the size.
absl::StatusOr<RankPlan> ResolveRanks(const RankPlan& plan,
                                      const std::string& device);

// The other ranks of a job on this machine: processes of this binary, which
// meet in a file. Ended with the object, if they have not ended by themselves.
class ChildRanks {
 public:
  // Starts ranks 1 to size - 1. INTERNAL with reason RANK_NOT_STARTED.
  static absl::StatusOr<std::unique_ptr<ChildRanks>> Start(
      const std::string& job_dir, int size);
  ~ChildRanks();

  const std::string& rendezvous() const { return rendezvous_; }

 private:
  ChildRanks() = default;

  std::string file_;
  std::string rendezvous_;
  std::vector<pid_t> children_;
};

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_RANKS_H_
