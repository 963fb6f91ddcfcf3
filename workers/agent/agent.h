#ifndef CONDENSE_WORKERS_AGENT_AGENT_H_
#define CONDENSE_WORKERS_AGENT_AGENT_H_

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "condense/v1/worker_service.pb.h"
#include "workers/agent/blob_cache.h"
#include "workers/agent/engine_pool.h"
#include "workers/agent/lease_runner.h"
#include "workers/agent/metrics.h"
#include "workers/agent/server_link.h"

namespace condense::agent {

// Keeps a worker in step with its server: states what it has and does, and
// starts, ends or gives up leases as it is told. Thread-safe.
class Agent {
 public:
  struct Options {
    std::string server;
    std::string name;
    std::string version;
    std::string work_dir;
    int slots = 1;
    std::vector<v1::Device> devices;
    std::string engine;
    int threads = 0;
    int warm_engines = 1;
    int64_t cache_bytes = int64_t{20} << 30;
    double checkpoint_interval_seconds = 30;
  };
  // `metrics` must outlive the agent. PERMISSION_DENIED for a work folder that
  // cannot be written.
  static absl::StatusOr<std::unique_ptr<Agent>> Start(Options options,
                                                      WorkerMetrics* metrics);
  // Kills engines that still run and gives their leases back.
  ~Agent();

  // Takes no new job, lets engines write a checkpoint and gives the leases
  // back; what is not done after `grace` is killed.
  void Drain(absl::Duration grace);

  WorkerGauges Gauges() const;

 private:
  Agent(Options options, WorkerMetrics* metrics);
  void SyncLoop();
  v1::SyncRequest Request();
  void Obey(const v1::SyncResponse& response);
  void StartLease(const v1::Assignment& assignment);
  // Deletes runners that have ended.
  void Sweep();
  // The fitting device with the fewest jobs.
  const v1::Device& PickDevice(const v1::Job& job) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  WorkerMetrics* const metrics_;
  ServerLink server_;
  std::unique_ptr<BlobCache> cache_;
  // By device id.
  std::map<std::string, std::unique_ptr<EnginePool>> pools_;

  mutable absl::Mutex mu_;
  std::vector<std::unique_ptr<LeaseRunner>> runners_ ABSL_GUARDED_BY(mu_);
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int64_t known_version_ ABSL_GUARDED_BY(mu_) = 0;
  std::thread thread_;
};

}  // namespace condense::agent

#endif  // CONDENSE_WORKERS_AGENT_AGENT_H_
