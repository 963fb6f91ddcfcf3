#include "server/metrics.h"

#include <map>
#include <set>

#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"

namespace condense {
namespace {

std::string Text(const ServerMetrics& metrics) {
  return prometheus::TextSerializer().Serialize(metrics.Collect());
}

bool Has(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(ServerMetricsTest, EveryMetricOfTheContractIsDeclared) {
  ServerMetrics metrics;
  v1::Job job;
  job.set_state(v1::Job::SUCCEEDED);
  job.add_artifacts()->set_profile("p");
  metrics.JobFinished(job, absl::Seconds(1));
  metrics.PhaseEnded(v1::Job::QAT, absl::Seconds(1));
  metrics.AttemptEnded(v1::Attempt::SUCCEEDED);
  metrics.RpcEnded("GetJob", "OK", absl::Milliseconds(1));
  metrics.SetGaugeSource([] { return ServerGauges(); });
  std::set<std::string> names;
  for (const auto& family : metrics.Collect()) {
    names.insert(family.name);
    EXPECT_FALSE(family.help.empty()) << family.name;
  }
  for (const char* name :
       {"condense_jobs", "condense_jobs_finished_total",
        "condense_job_queue_wait_seconds", "condense_job_duration_seconds",
        "condense_job_phase_duration_seconds", "condense_job_attempts_total",
        "condense_queue_oldest_age_seconds", "condense_queue_demand",
        "condense_workers", "condense_heartbeat_age_seconds",
        "condense_lease_expirations_total",
        "condense_stale_writes_refused_total", "condense_rpc_duration_seconds",
        "condense_blob_bytes_total", "condense_artifacts_total",
        "condense_watch_streams", "condense_build_info"}) {
    EXPECT_EQ(names.count(name), 1u) << name;
  }
}

TEST(ServerMetricsTest, GaugesShowWhatTheirSourceSaysWhenScraped) {
  ServerMetrics metrics;
  ServerGauges gauges;
  metrics.SetGaugeSource([&] { return gauges; });
  EXPECT_TRUE(Has(Text(metrics), "condense_jobs{state=\"QUEUED\"} 0"));
  gauges.jobs[v1::Job::QUEUED] = 4;
  gauges.workers[v1::Worker::LOST] = 1;
  gauges.demand[v1::DeviceRequirement::CUDA] = 2;
  gauges.oldest_queued = absl::Milliseconds(1500);
  const std::string text = Text(metrics);
  EXPECT_TRUE(Has(text, "condense_jobs{state=\"QUEUED\"} 4"));
  EXPECT_TRUE(Has(text, "condense_workers{state=\"LOST\"} 1"));
  EXPECT_TRUE(Has(text, "condense_queue_demand{device=\"cuda\"} 2"));
  EXPECT_TRUE(Has(text, "condense_queue_oldest_age_seconds 1.5"));
}

TEST(ServerMetricsTest, AFailedJobIsCountedWithItsReasonAndNoArtifact) {
  ServerMetrics metrics;
  v1::Job job;
  job.set_state(v1::Job::FAILED);
  job.mutable_error()->set_reason("NAN_LOSS");
  job.add_artifacts()->set_profile("p");
  metrics.JobFinished(job, absl::Seconds(2));
  const std::string text = Text(metrics);
  EXPECT_TRUE(Has(text,
                  "condense_jobs_finished_total{outcome=\"FAILED\",reason="
                  "\"NAN_LOSS\"} 1"))
      << text;
  EXPECT_EQ(text.find("condense_artifacts_total{"), std::string::npos);
}

}  // namespace
}  // namespace condense
