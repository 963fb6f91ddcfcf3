#include "server/metrics.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace condense {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using Buckets = prometheus::Histogram::BucketBoundaries;

// Seconds. An RPC takes a durable write, a job minutes to days.
const Buckets& RpcBuckets() {
  static const auto* buckets =
      new Buckets{.0005, .001, .002, .005, .01, .02, .05, .1, .5, 1, 5, 30};
  return *buckets;
}
const Buckets& JobBuckets() {
  static const auto* buckets =
      new Buckets{.1, .5, 1, 5, 15, 60, 300, 1800, 7200, 28800, 86400};
  return *buckets;
}

template <typename Builder>
auto& Declare(Builder builder, const char* name, const char* help,
              prometheus::Registry& registry) {
  return builder.Name(name).Help(help).Register(registry);
}

std::string PhaseLabel(v1::Job::Phase phase) {
  return phase == v1::Job::PHASE_UNSPECIFIED ? "STARTING"
                                             : v1::Job::Phase_Name(phase);
}

std::string KindLabel(v1::DeviceRequirement::Kind kind) {
  switch (kind) {
    case v1::DeviceRequirement::CPU:
      return "cpu";
    case v1::DeviceRequirement::CUDA:
      return "cuda";
    default:
      return "any";
  }
}

}  // namespace

ServerMetrics::ServerMetrics()
    : jobs_(Declare(BuildGauge(), "condense_jobs",
                    "Jobs stored, by the state they are in.", registry_)),
      jobs_finished_(Declare(BuildCounter(), "condense_jobs_finished_total",
                             "Jobs that reached a final state, by the state "
                             "and the reason of their error.",
                             registry_)),
      queue_wait_(Declare(BuildHistogram(), "condense_job_queue_wait_seconds",
                          "Time from a job's creation to its first lease.",
                          registry_)
                      .Add({}, JobBuckets())),
      job_duration_(Declare(BuildHistogram(), "condense_job_duration_seconds",
                            "Time from a job's first lease to its end.",
                            registry_)),
      phase_duration_(Declare(
          BuildHistogram(), "condense_job_phase_duration_seconds",
          "Time that a job spent in one phase without a break.", registry_)),
      attempts_(Declare(BuildCounter(), "condense_job_attempts_total",
                        "Attempts that ended, by how.", registry_)),
      queue_oldest_age_(
          Declare(BuildGauge(), "condense_queue_oldest_age_seconds",
                  "Age of the job that has been queued longest, 0 if none is.",
                  registry_)
              .Add({})),
      queue_demand_(Declare(BuildGauge(), "condense_queue_demand",
                            "Worker slots wanted by queued and running jobs, "
                            "by the kind of device they ask for.",
                            registry_)),
      workers_(Declare(BuildGauge(), "condense_workers",
                       "Workers heard of lately, by state.", registry_)),
      heartbeat_age_(
          Declare(BuildGauge(), "condense_heartbeat_age_seconds",
                  "Time since the connected worker that has been silent "
                  "longest was heard.",
                  registry_)
              .Add({})),
      lease_expirations_(
          Declare(BuildCounter(), "condense_lease_expirations_total",
                  "Leases that ended because their worker fell silent.",
                  registry_)
              .Add({})),
      stale_writes_(
          Declare(BuildCounter(), "condense_stale_writes_refused_total",
                  "Writes refused because their lease had ended.", registry_)
              .Add({})),
      rpc_duration_(Declare(BuildHistogram(), "condense_rpc_duration_seconds",
                            "Time to answer a call (a stream: until its end).",
                            registry_)),
      blob_bytes_(Declare(BuildCounter(), "condense_blob_bytes_total",
                          "Bytes of blobs received (in) and sent (out).",
                          registry_)),
      artifacts_(Declare(BuildCounter(), "condense_artifacts_total",
                         "Artifacts of succeeded jobs, by device profile and "
                         "verdict.",
                         registry_)),
      watch_streams_(Declare(BuildGauge(), "condense_watch_streams",
                             "WatchJob streams that are open.", registry_)
                         .Add({})) {
  Declare(BuildGauge(), "condense_build_info",
          "Always 1; the labels say what is running.", registry_)
      .Add({{"component", "server"}, {"version", CONDENSE_VERSION}})
      .Set(1);
  blob_bytes_.Add({{"direction", "in"}});
  blob_bytes_.Add({{"direction", "out"}});
}

void ServerMetrics::SetGaugeSource(std::function<ServerGauges()> source) {
  gauge_source_ = std::move(source);
}

void ServerMetrics::JobStarted(absl::Duration waited) {
  queue_wait_.Observe(absl::ToDoubleSeconds(waited));
}

void ServerMetrics::JobFinished(const v1::Job& job, absl::Duration ran) {
  const std::string outcome = v1::Job::State_Name(job.state());
  jobs_finished_.Add({{"outcome", outcome}, {"reason", job.error().reason()}})
      .Increment();
  job_duration_.Add({{"outcome", outcome}}, JobBuckets())
      .Observe(absl::ToDoubleSeconds(ran));
  if (job.state() != v1::Job::SUCCEEDED) return;
  for (const v1::Artifact& artifact : job.artifacts()) {
    artifacts_
        .Add({{"profile", artifact.profile()},
              {"verdict", v1::Artifact::Verdict_Name(artifact.verdict())}})
        .Increment();
  }
}

void ServerMetrics::PhaseEnded(v1::Job::Phase phase, absl::Duration took) {
  phase_duration_.Add({{"phase", PhaseLabel(phase)}}, JobBuckets())
      .Observe(absl::ToDoubleSeconds(took));
}

void ServerMetrics::AttemptEnded(v1::Attempt::Outcome outcome) {
  attempts_.Add({{"outcome", v1::Attempt::Outcome_Name(outcome)}}).Increment();
}

void ServerMetrics::LeaseExpired() { lease_expirations_.Increment(); }

void ServerMetrics::StaleWriteRefused() { stale_writes_.Increment(); }

void ServerMetrics::RpcEnded(absl::string_view method, absl::string_view code,
                             absl::Duration took) {
  rpc_duration_
      .Add({{"method", std::string(method)}, {"code", std::string(code)}},
           RpcBuckets())
      .Observe(absl::ToDoubleSeconds(took));
}

void ServerMetrics::BlobBytes(absl::string_view direction, int64_t bytes) {
  blob_bytes_.Add({{"direction", std::string(direction)}})
      .Increment(static_cast<double>(bytes));
}

void ServerMetrics::RefreshGauges() const {
  if (!gauge_source_) return;
  const ServerGauges now = gauge_source_();
  auto value = [](const auto& map, auto key) {
    auto it = map.find(key);
    return it == map.end() ? 0.0 : static_cast<double>(it->second);
  };
  for (int i = 1; i < v1::Job::State_ARRAYSIZE; ++i) {
    if (!v1::Job::State_IsValid(i)) continue;
    const auto state = static_cast<v1::Job::State>(i);
    jobs_.Add({{"state", v1::Job::State_Name(state)}})
        .Set(value(now.jobs, state));
  }
  for (int i = 1; i < v1::Worker::State_ARRAYSIZE; ++i) {
    const auto state = static_cast<v1::Worker::State>(i);
    workers_.Add({{"state", v1::Worker::State_Name(state)}})
        .Set(value(now.workers, state));
  }
  for (const auto kind :
       {v1::DeviceRequirement::ANY, v1::DeviceRequirement::CPU,
        v1::DeviceRequirement::CUDA}) {
    queue_demand_.Add({{"device", KindLabel(kind)}})
        .Set(value(now.demand, kind));
  }
  queue_oldest_age_.Set(absl::ToDoubleSeconds(now.oldest_queued));
  heartbeat_age_.Set(absl::ToDoubleSeconds(now.oldest_heartbeat));
  watch_streams_.Set(static_cast<double>(now.watch_streams));
}

std::vector<prometheus::MetricFamily> ServerMetrics::Collect() const {
  RefreshGauges();
  return registry_.Collect();
}

}  // namespace condense
