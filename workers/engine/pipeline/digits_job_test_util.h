#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_DIGITS_JOB_TEST_UTIL_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_DIGITS_JOB_TEST_UTIL_H_

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/digest.h"
#include "common/files.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "workers/engine/pipeline/run_job.h"
#include "workers/engine/pipeline/text_sink_test_util.h"
#include "workers/engine/runtime/executor.h"

namespace condense::pipeline {

// Jobs of one quantize stage on a part of examples/digits: 256 images to train
// on, 4 steps to an epoch.
class DigitsJobTest : public testing::Test {
 protected:
  void SetUp() override {
    runtime::SetThreads(1);
    dir_ = testing::TempDir() + "/condense_" +
           testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string WriteJob(const std::string& name, const std::string& stage,
                       const std::string& profile, double interval = 1000) {
    const std::string digits =
        std::string(std::getenv("CONDENSE_SOURCE_DIR")) + "/examples/digits";
    const std::string folder = dir_ + "/" + name;
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/recipe.yaml")
        << "data: {train: {source: train, samples: 256}, eval: {source: test, "
           "samples: 128}, calibration: {source: train, samples: 64}, "
           "preprocess: {scale: 0.00416666666666667, mean: [0.305], std: "
           "[0.376], color: gray}}\nstages: [quantize: {"
        << stage << "}]\n";
    const nlohmann::json job = {
        {"model", digits + "/model.onnx"},
        {"recipe", "recipe.yaml"},
        {"profiles", {profile}},
        {"threads", 1},
        {"checkpoint_interval_seconds", interval},
        {"data",
         {{"train", digits + "/data/train"}, {"test", digits + "/data/test"}}}};
    std::ofstream(folder + "/job.json") << job.dump();
    return folder;
  }

  JobResult Run(const std::string& folder) {
    Control control;
    sink_.text.clear();
    return RunJob(folder, &control, &sink_);
  }

  static nlohmann::json Report(const std::string& folder,
                               const std::string& profile) {
    return nlohmann::json::parse(
        *ReadFile(folder + "/artifacts/" + profile + "/report.json"));
  }

  // The job is stopped at every third step and goes on, until it is done; how
  // often that was.
  int RunInPieces(const std::string& folder) {
    for (int stops = 0; stops < 20; ++stops) {
      Control control;
      TextSink sink;
      int steps = 0;
      sink.at_event = [&](const v1::EngineEvent& event) {
        if (event.has_event() && event.event().type() == "metric" &&
            event.event().metric().name() == "loss" && ++steps == 3) {
          control.Ask(Control::Request::kCheckpointAndStop);
        }
      };
      const JobResult result = RunJob(folder, &control, &sink);
      EXPECT_TRUE(result.status.ok()) << result.status;
      if (result.outcome != v1::Done::STOPPED) return stops;
    }
    ADD_FAILURE() << "it does not end";
    return -1;
  }

  static std::string ModelDigest(const std::string& folder,
                                 const std::string& profile) {
    return *DigestOfFile(folder + "/artifacts/" + profile + "/model.onnx");
  }

  std::string dir_;
  TextSink sink_;
};

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_DIGITS_JOB_TEST_UTIL_H_
