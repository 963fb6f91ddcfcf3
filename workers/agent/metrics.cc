#include "workers/agent/metrics.h"

#include <utility>

namespace condense::agent {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;

template <typename Builder>
auto& Declare(Builder builder, const char* name, const char* help,
              prometheus::Registry& registry) {
  return builder.Name(name).Help(help).Register(registry);
}

}  // namespace

WorkerMetrics::WorkerMetrics()
    : samples_(Declare(BuildCounter(), "condense_engine_samples_total",
                       "Samples through training steps.", registry_)
                   .Add({})),
      data_wait_(Declare(BuildCounter(),
                         "condense_engine_data_wait_seconds_total",
                         "Seconds that training waited for data.", registry_)
                     .Add({})),
      device_memory_(
          Declare(BuildGauge(), "condense_engine_device_memory_bytes",
                  "Memory of the device in use by engines.", registry_)
              .Add({})),
      device_busy_(Declare(BuildCounter(),
                           "condense_engine_device_busy_seconds_total",
                           "Seconds that the device computed.", registry_)
                       .Add({})),
      engine_exits_(Declare(BuildCounter(),
                            "condense_worker_engine_exits_total",
                            "Engines that ended, by how.", registry_)),
      sync_failures_(
          Declare(BuildCounter(), "condense_worker_sync_failures_total",
                  "Calls of Sync that the server did not answer.", registry_)
              .Add({})),
      blob_bytes_(Declare(BuildCounter(), "condense_worker_blob_bytes_total",
                          "Bytes of blobs fetched and uploaded.", registry_)),
      slots_(Declare(BuildGauge(), "condense_worker_slots",
                     "Jobs that this worker runs at once.", registry_)
                 .Add({})),
      busy_slots_(Declare(BuildGauge(), "condense_worker_busy_slots",
                          "Slots that run a job.", registry_)
                      .Add({})),
      warm_engines_(Declare(BuildGauge(), "condense_worker_warm_engines",
                            "Engines that are started and wait for a job.",
                            registry_)
                        .Add({})),
      cache_bytes_(Declare(BuildGauge(), "condense_worker_cache_bytes",
                           "Bytes in the blob cache.", registry_)
                       .Add({})) {
  Declare(BuildGauge(), "condense_build_info",
          "1, with the version as a label.", registry_)
      .Add({{"version", CONDENSE_VERSION}})
      .Set(1);
}

void WorkerMetrics::SetGaugeSource(std::function<WorkerGauges()> source) {
  absl::MutexLock lock(&mu_);
  gauge_source_ = std::move(source);
}

void WorkerMetrics::EngineWorked(const v1::EngineStats& before,
                                 const v1::EngineStats& after) {
  samples_.Increment(static_cast<double>(after.samples() - before.samples()));
  data_wait_.Increment(after.data_wait_seconds() - before.data_wait_seconds());
  device_busy_.Increment(after.device_busy_seconds() -
                         before.device_busy_seconds());
  device_memory_.Set(static_cast<double>(after.device_memory_bytes()));
  absl::MutexLock lock(&mu_);
  step_seconds_ += after.step_seconds() - before.step_seconds();
  steps_ += static_cast<uint64_t>(after.steps() - before.steps());
}

void WorkerMetrics::EngineEnded(absl::string_view reason) {
  engine_exits_.Add({{"reason", std::string(reason)}}).Increment();
}

void WorkerMetrics::SyncFailed() { sync_failures_.Increment(); }

void WorkerMetrics::BlobBytes(absl::string_view direction, int64_t bytes) {
  blob_bytes_.Add({{"direction", std::string(direction)}})
      .Increment(static_cast<double>(bytes));
}

std::vector<prometheus::MetricFamily> WorkerMetrics::Collect() const {
  std::function<WorkerGauges()> source;
  prometheus::MetricFamily steps;
  steps.name = "condense_engine_step_duration_seconds";
  steps.help = "Training steps and the seconds that they took.";
  steps.type = prometheus::MetricType::Summary;
  steps.metric.resize(1);
  {
    absl::MutexLock lock(&mu_);
    source = gauge_source_;
    steps.metric[0].summary.sample_count = steps_;
    steps.metric[0].summary.sample_sum = step_seconds_;
  }
  if (source) {
    const WorkerGauges gauges = source();
    slots_.Set(gauges.slots);
    busy_slots_.Set(gauges.busy);
    warm_engines_.Set(gauges.warm_engines);
    cache_bytes_.Set(static_cast<double>(gauges.cache_bytes));
  }
  auto families = registry_.Collect();
  families.push_back(std::move(steps));
  return families;
}

}  // namespace condense::agent
