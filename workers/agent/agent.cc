#include "workers/agent/agent.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "common/error.h"
#include "common/files.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace condense::agent {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(100);
constexpr absl::Duration kLongestPause = absl::Seconds(2);

bool SameLease(const v1::Lease& a, const v1::Lease& b) {
  return a.job() == b.job() && a.epoch() == b.epoch();
}

// A folder's name for a lease.
std::string FolderName(const v1::Lease& lease) {
  return absl::StrCat(absl::StrReplaceAll(lease.job(), {{"/", "_"}}), "-",
                      lease.epoch());
}

}  // namespace

Agent::Agent(Options options, WorkerMetrics* metrics)
    : options_(std::move(options)),
      metrics_(metrics),
      server_(options_.server) {}

absl::StatusOr<std::unique_ptr<Agent>> Agent::Start(Options options,
                                                    WorkerMetrics* metrics) {
  auto agent = absl::WrapUnique(new Agent(std::move(options), metrics));
  const Options& o = agent->options_;
  const std::string jobs = absl::StrCat(o.work_dir, "/jobs");
  std::error_code error;
  // Of an agent that was killed: its leases are lost.
  std::filesystem::remove_all(jobs, error);
  CONDENSE_RETURN_IF_ERROR(MakeWritableFolder(jobs));
  const std::string logs = absl::StrCat(o.work_dir, "/engines");
  std::filesystem::remove_all(logs, error);
  CONDENSE_ASSIGN_OR_RETURN(
      agent->cache_,
      BlobCache::Open({.folder = absl::StrCat(o.work_dir, "/cache"),
                       .max_bytes = o.cache_bytes,
                       .blobs = agent->server_.blobs()}));
  const int share =
      static_cast<int>((o.slots + o.devices.size() - 1) / o.devices.size());
  for (const v1::Device& device : o.devices) {
    EnginePool::Options pool;
    pool.engine.binary = o.engine;
    pool.engine.device = device.id();
    pool.engine.threads = o.threads;
    pool.folder =
        absl::StrCat(logs, "/", absl::StrReplaceAll(device.id(), {{":", "-"}}));
    CONDENSE_RETURN_IF_ERROR(MakeWritableFolder(pool.folder));
    pool.warm = std::min(o.warm_engines, share);
    agent->pools_[device.id()] = std::make_unique<EnginePool>(pool);
  }
  agent->thread_ = std::thread([raw = agent.get()] { raw->SyncLoop(); });
  return agent;
}

Agent::~Agent() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  server_.Close();
  if (thread_.joinable()) thread_.join();
  std::vector<std::unique_ptr<LeaseRunner>> runners;
  {
    absl::MutexLock lock(&mu_);
    runners.swap(runners_);
  }
  for (auto& runner : runners) runner->EndNow();
  runners.clear();
}

void Agent::Drain(absl::Duration grace) {
  const absl::Time deadline = absl::Now() + grace;
  absl::MutexLock lock(&mu_);
  draining_ = true;
  CONDENSE_LOG(kInfo, "draining ", runners_.size(), " jobs");
  for (auto& runner : runners_) runner->Drain();
  server_.InterruptSync();
  mu_.AwaitWithDeadline(
      absl::Condition(
          +[](Agent* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mu_) {
            return std::all_of(self->runners_.begin(), self->runners_.end(),
                               [](const auto& r) { return r->ended(); });
          },
          this),
      deadline);
}

WorkerGauges Agent::Gauges() const {
  WorkerGauges gauges;
  gauges.slots = options_.slots;
  gauges.cache_bytes = cache_->bytes();
  for (const auto& [id, pool] : pools_) gauges.warm_engines += pool->ready();
  absl::MutexLock lock(&mu_);
  for (const auto& runner : runners_) gauges.busy += !runner->ended();
  return gauges;
}

v1::SyncRequest Agent::Request() {
  v1::SyncRequest request;
  v1::Worker& worker = *request.mutable_worker();
  worker.set_name(options_.name);
  worker.set_slots(options_.slots);
  worker.set_version(options_.version);
  worker.mutable_devices()->Add(options_.devices.begin(),
                                options_.devices.end());
  absl::MutexLock lock(&mu_);
  for (const auto& runner : runners_) *request.add_busy() = runner->Status();
  request.set_draining(draining_);
  request.set_known_version(known_version_);
  return request;
}

void Agent::SyncLoop() {
  absl::Duration pause = kFirstPause;
  for (;;) {
    Sweep();
    const absl::StatusOr<v1::SyncResponse> response = server_.Sync(Request());
    {
      absl::MutexLock lock(&mu_);
      if (stopping_) return;
      if (!response.ok()) {
        // A drain interrupts the call; the next one tells of it at once.
        if (draining_ && absl::IsCancelled(response.status())) continue;
        metrics_->SyncFailed();
        CONDENSE_LOG(kWarning, "no answer from ", options_.server, ": ",
                     response.status().message());
        mu_.AwaitWithTimeout(absl::Condition(&stopping_), pause);
        if (stopping_) return;
        pause = std::min(pause * 2, kLongestPause);
        continue;
      }
      known_version_ = response->wish_version();
    }
    pause = kFirstPause;
    Obey(*response);
  }
}

void Agent::Sweep() {
  std::vector<std::unique_ptr<LeaseRunner>> ended;
  {
    absl::MutexLock lock(&mu_);
    const auto middle = std::stable_partition(
        runners_.begin(), runners_.end(),
        [](const auto& runner) { return !runner->ended(); });
    std::move(middle, runners_.end(), std::back_inserter(ended));
    runners_.erase(middle, runners_.end());
  }
  for (const auto& runner : ended) pools_.at(runner->device())->Refill();
}

void Agent::Obey(const v1::SyncResponse& response) {
  Sweep();
  std::vector<const v1::Assignment*> fresh;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& runner : runners_) {
      const auto it = std::find_if(
          response.assignments().begin(), response.assignments().end(),
          [&](const v1::Assignment& assignment) {
            return SameLease(assignment.lease(), runner->lease());
          });
      if (it == response.assignments().end()) {
        // One that has told its end may not have noticed the answer yet.
        if (!runner->completing()) {
          CONDENSE_LOG(kWarning, "lease ", runner->lease().job(), " is lost");
        }
        runner->Abandon();
      } else if (it->wish() == v1::Assignment::CANCEL) {
        runner->Cancel();
      }
    }
    for (const v1::Assignment& assignment : response.assignments()) {
      const bool known = std::any_of(
          runners_.begin(), runners_.end(), [&](const auto& runner) {
            return SameLease(assignment.lease(), runner->lease());
          });
      if (!known && assignment.has_job()) fresh.push_back(&assignment);
    }
  }
  for (const v1::Assignment* assignment : fresh) StartLease(*assignment);
}

const v1::Device& Agent::PickDevice(const v1::Job& job) const {
  const v1::DeviceRequirement& need = job.spec().device();
  const v1::Device* best = nullptr;
  int64_t fewest = 0;
  for (const v1::Device& device : options_.devices) {
    const bool fits = need.kind() == v1::DeviceRequirement::KIND_UNSPECIFIED ||
                      need.kind() == v1::DeviceRequirement::ANY ||
                      need.kind() == device.kind();
    const auto jobs = std::count_if(
        runners_.begin(), runners_.end(), [&](const auto& runner) {
          return !runner->ended() && runner->device() == device.id();
        });
    if (fits && (best == nullptr || jobs < fewest)) {
      best = &device;
      fewest = jobs;
    }
  }
  return best == nullptr ? options_.devices.front() : *best;
}

void Agent::StartLease(const v1::Assignment& assignment) {
  absl::MutexLock lock(&mu_);
  const std::string device = PickDevice(assignment.job()).id();
  LeaseRunner::Options runner;
  runner.server = &server_;
  runner.cache = cache_.get();
  runner.engines = pools_.at(device).get();
  runner.metrics = metrics_;
  runner.device = device;
  runner.threads = options_.threads;
  runner.folder =
      absl::StrCat(options_.work_dir, "/jobs/", FolderName(assignment.lease()));
  runner.checkpoint_interval_seconds = options_.checkpoint_interval_seconds;
  // Wakes Drain, whose condition has changed.
  runner.done = [this] { absl::MutexLock wake(&mu_); };
  runners_.push_back(
      std::make_unique<LeaseRunner>(assignment, std::move(runner)));
  if (assignment.wish() == v1::Assignment::CANCEL) runners_.back()->Cancel();
  if (draining_) runners_.back()->Drain();
}

}  // namespace condense::agent
