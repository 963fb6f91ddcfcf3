#include "workers/agent/devices.h"

#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/agent/metrics.h"

namespace condense::agent {
namespace {

TEST(DevicesTest, NvidiaSmiLinesBecomeDevices) {
  const auto devices = ParseNvidiaSmi(
      "0, NVIDIA H100 80GB HBM3, 81559\n1, NVIDIA A10, 23028\nnonsense\n");
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].id(), "cuda:0");
  EXPECT_EQ(devices[0].kind(), v1::DeviceRequirement::CUDA);
  EXPECT_EQ(devices[0].model(), "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(devices[1].memory_bytes(), int64_t{23028} << 20);
  EXPECT_TRUE(ParseNvidiaSmi("").empty());
}

TEST(DevicesTest, TheCpuIsReadFromProc) {
  const v1::Device cpu =
      ParseCpu("processor : 0\nmodel name\t: AMD EPYC 9B14\nflags: avx2\n",
               "MemTotal:       24614396 kB\nMemFree: 1 kB\n");
  EXPECT_EQ(cpu.id(), "cpu");
  EXPECT_EQ(cpu.model(), "AMD EPYC 9B14");
  EXPECT_EQ(cpu.memory_bytes(), int64_t{24614396} << 10);
  // Other processors have no such line.
  EXPECT_EQ(ParseCpu("", "").model(), "CPU");
}

TEST(DevicesTest, ADeviceThatIsNotThereIsNamedWithTheNearest) {
  const auto devices = FindDevices("cpi");
  EXPECT_EQ(ErrorReason(devices.status()), "NO_DEVICE");
  EXPECT_EQ(ErrorDetailOf(devices.status()).nearest, "cpu");
  const auto cpu = FindDevices("cpu");
  ASSERT_TRUE(cpu.ok());
  EXPECT_GT((*cpu)[0].memory_bytes(), 0);
}

double ValueOf(const WorkerMetrics& metrics, const std::string& name) {
  for (const auto& family : metrics.Collect()) {
    if (family.name != name) continue;
    const auto& metric = family.metric.at(0);
    return metric.counter.value + metric.gauge.value;
  }
  return -1;
}

TEST(WorkerMetricsTest, EnginesTotalsAreCountedByTheirGrowth) {
  WorkerMetrics metrics;
  v1::EngineStats before, after;
  before.set_samples(64);
  after.set_samples(192);
  after.set_steps(2);
  after.set_step_seconds(0.5);
  metrics.EngineWorked(before, after);
  EXPECT_EQ(ValueOf(metrics, "condense_engine_samples_total"), 128);
  for (const auto& family : metrics.Collect()) {
    if (family.name != "condense_engine_step_duration_seconds") continue;
    EXPECT_EQ(family.metric[0].summary.sample_count, 2u);
    EXPECT_EQ(family.metric[0].summary.sample_sum, 0.5);
  }
}

TEST(WorkerMetricsTest, GaugesAreReadOnScrape) {
  WorkerMetrics metrics;
  EXPECT_EQ(ValueOf(metrics, "condense_worker_busy_slots"), 0);
  metrics.SetGaugeSource([] { return WorkerGauges{.slots = 4, .busy = 3}; });
  EXPECT_EQ(ValueOf(metrics, "condense_worker_slots"), 4);
  EXPECT_EQ(ValueOf(metrics, "condense_worker_busy_slots"), 3);
}

}  // namespace
}  // namespace condense::agent
