#ifndef CONDENSE_WORKERS_AGENT_METRICS_H_
#define CONDENSE_WORKERS_AGENT_METRICS_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "condense/v1/engine.pb.h"
#include "prometheus/collectable.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/registry.h"

namespace condense::agent {

// What the worker's gauges show: read when somebody scrapes.
struct WorkerGauges {
  int slots = 0;
  int busy = 0;
  int warm_engines = 0;
  int64_t cache_bytes = 0;
};

// Every metric of the worker and, relayed, of its engines. Thread-safe. Labels
// never name a job.
class WorkerMetrics : public prometheus::Collectable {
 public:
  WorkerMetrics();

  // Called on scrape, from any thread.
  void SetGaugeSource(std::function<WorkerGauges()> source);

  // The growth from `before` to `after`, both of one engine.
  void EngineWorked(const v1::EngineStats& before,
                    const v1::EngineStats& after);
  // `reason`: "succeeded", "failed", "cancelled", "stopped" or "died".
  void EngineEnded(absl::string_view reason);
  void SyncFailed();
  void BlobBytes(absl::string_view direction, int64_t bytes);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  mutable prometheus::Registry registry_;
  mutable absl::Mutex mu_;
  std::function<WorkerGauges()> gauge_source_ ABSL_GUARDED_BY(mu_);
  // The two parts of the summary condense_engine_step_duration_seconds.
  double step_seconds_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t steps_ ABSL_GUARDED_BY(mu_) = 0;

  prometheus::Counter& samples_;
  prometheus::Counter& data_wait_;
  prometheus::Gauge& device_memory_;
  prometheus::Counter& device_busy_;
  prometheus::Family<prometheus::Counter>& engine_exits_;
  prometheus::Counter& sync_failures_;
  prometheus::Family<prometheus::Counter>& blob_bytes_;
  prometheus::Gauge& slots_;
  prometheus::Gauge& busy_slots_;
  prometheus::Gauge& warm_engines_;
  prometheus::Gauge& cache_bytes_;
};

}  // namespace condense::agent

#endif  // CONDENSE_WORKERS_AGENT_METRICS_H_
