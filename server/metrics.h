#ifndef CONDENSE_SERVER_METRICS_H_
#define CONDENSE_SERVER_METRICS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "condense/v1/job.pb.h"
#include "condense/v1/worker_service.pb.h"
#include "prometheus/collectable.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace condense {

// What the gauges show: read when somebody scrapes.
struct ServerGauges {
  std::map<v1::Job::State, int64_t> jobs;
  std::map<v1::Worker::State, int64_t> workers;
  // Jobs queued or running, by what they ask for.
  std::map<v1::DeviceRequirement::Kind, int64_t> demand;
  // Of the job that has waited longest; 0: none waits.
  absl::Duration oldest_queued = absl::ZeroDuration();
  // Since the connected worker that has been silent longest was heard.
  absl::Duration oldest_heartbeat = absl::ZeroDuration();
  int64_t watch_streams = 0;
};

// Every metric of the server. Thread-safe. Labels never name a job or worker.
class ServerMetrics : public prometheus::Collectable {
 public:
  ServerMetrics();

  // Where the gauges come from; called on scrape, from any thread.
  void SetGaugeSource(std::function<ServerGauges()> source);

  // Counts reach the metrics by these.
  void JobStarted(absl::Duration waited);
  void JobFinished(const v1::Job& job, absl::Duration ran);
  void PhaseEnded(v1::Job::Phase phase, absl::Duration took);
  void AttemptEnded(v1::Attempt::Outcome outcome);
  void LeaseExpired();
  void StaleWriteRefused();
  void RpcEnded(absl::string_view method, absl::string_view code,
                absl::Duration took);
  // `direction` is "in" or "out".
  void BlobBytes(absl::string_view direction, int64_t bytes);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  using Counters = prometheus::Family<prometheus::Counter>;
  using Gauges = prometheus::Family<prometheus::Gauge>;
  using Histograms = prometheus::Family<prometheus::Histogram>;

  void RefreshGauges() const;

  mutable prometheus::Registry registry_;
  std::function<ServerGauges()> gauge_source_;

  Gauges& jobs_;
  Counters& jobs_finished_;
  prometheus::Histogram& queue_wait_;
  Histograms& job_duration_;
  Histograms& phase_duration_;
  Counters& attempts_;
  prometheus::Gauge& queue_oldest_age_;
  Gauges& queue_demand_;
  Gauges& workers_;
  prometheus::Gauge& heartbeat_age_;
  prometheus::Counter& lease_expirations_;
  prometheus::Counter& stale_writes_;
  Histograms& rpc_duration_;
  Counters& blob_bytes_;
  Counters& artifacts_;
  prometheus::Gauge& watch_streams_;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_METRICS_H_
