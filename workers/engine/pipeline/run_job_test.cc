#include "workers/engine/pipeline/run_job.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/files.h"
#include "common/profiles/profiles.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "workers/engine/data/dataset.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/graph/passes/fold_batch_norm.h"
#include "workers/engine/import/onnx.h"
#include "workers/engine/pipeline/analysis.h"
#include "workers/engine/pipeline/job.h"
#include "workers/engine/pipeline/load_model.h"
#include "workers/engine/runtime/executor.h"

namespace condense::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr char kProfile[] = "onnxruntime-cpu-x86-vnni";
constexpr char kPacked[] = "onnxruntime-opset21-int4";
constexpr char kPreprocess[] =
    "preprocess: {scale: 0.00416666666666667, mean: [0.305], std: [0.376], "
    "color: gray}";

// Keeps every event; may do something at each.
class RecordingSink : public EventSink {
 public:
  void Send(const v1::EngineEvent& event) override {
    // Checkpoints are announced by the thread that writes them.
    absl::MutexLock lock(&mu_);
    events.push_back(event);
    if (at_event) at_event(event);
  }
  std::vector<v1::EngineEvent> events;
  std::function<void(const v1::EngineEvent&)> at_event;

 private:
  absl::Mutex mu_;
};

class RunJobTest : public testing::Test {
 protected:
  void SetUp() override {
    runtime::SetThreads(1);
    dir_ = testing::TempDir() + "/condense_run_job_" +
           testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(dir_);
    digits_ =
        std::string(std::getenv("CONDENSE_SOURCE_DIR")) + "/examples/digits";
  }
  void TearDown() override { fs::remove_all(dir_); }

  // A job of digits in a folder of its own.
  std::string WriteJob(const std::string& name, const std::string& recipe,
                       bool with_data = true, double interval = 1000) {
    const std::string folder = dir_ + "/" + name;
    fs::create_directories(folder);
    std::ofstream(folder + "/recipe.yaml") << recipe;
    nlohmann::json job = {{"model", digits_ + "/model.onnx"},
                          {"recipe", "recipe.yaml"},
                          {"profiles", {kProfile}},
                          {"threads", 1},
                          {"checkpoint_interval_seconds", interval}};
    if (with_data) {
      job["data"] = {{"train", digits_ + "/data/train"},
                     {"test", digits_ + "/data/test"}};
    }
    std::ofstream(folder + "/job.json") << job.dump();
    return folder;
  }

  JobResult Run(const std::string& folder) {
    return RunJob(folder, &control_, &sink_);
  }

  static nlohmann::json Report(const std::string& folder) {
    return nlohmann::json::parse(
        *ReadFile(folder + "/artifacts/" + kProfile + "/report.json"));
  }
  static std::string ModelDigest(const std::string& folder) {
    return *DigestOfFile(folder + "/artifacts/" + kProfile + "/model.onnx");
  }

  void ExpectStopsChangeNothing(const std::string& recipe);

  std::string dir_;
  std::string digits_;
  Control control_;
  RecordingSink sink_;
};

// Short, with every kind of task.
std::string SmallRecipe() {
  return std::string(
             "data: {train: {source: train, samples: 256}, eval: "
             "{source: test, samples: 64}, ") +
         kPreprocess + "}\n" +
         "stages:\n"
         "  - prune: {target: {macs: 0.6}, schedule: {iterative: {steps: 2, "
         "epochs_between: 1}}}\n"
         "  - finetune: {epochs: 2, kd: [soft_response: {temperature: 4}]}\n"
         "  - quantize: {mode: qat, epochs: 2}\n";
}

// With everything that a checkpoint has to carry.
std::string FullRecipe() {
  return std::string(
             "data: {train: {source: train, samples: 256, augment: "
             "[random_crop: {padding: 1}]}, eval: {source: test, samples: "
             "64}, ") +
         kPreprocess + "}\n" +
         "stages:\n"
         "  - prune: {target: {macs: 0.6}, schedule: {iterative: {steps: 2, "
         "epochs_between: 1}}}\n"
         "  - finetune: {epochs: 3, accumulate: 2, ema: {decay: 0.9}, "
         "clip_norm: 1, label_smoothing: 0.1, lr_schedule: one_cycle, "
         "early_stop: {patience: 9}, kd: [soft_response: {temperature: 4}]}\n"
         "  - quantize: {mode: qat, epochs: 2, optimizer: {adamw: {lr: "
         "0.0005}}, ema: {decay: 0.5}, lr_shape: {warmup_epochs: 0.5}}\n";
}

TEST_F(RunJobTest, AfterTrainingQuantizationShrinksTheFileAndKeepsAccuracy) {
  const std::string folder = WriteJob(
      "job", std::string("data: {") + kPreprocess +
                 "}\nstages: [quantize: {mode: ptq}]\n"
                 "gates: {max_accuracy_drop: 0.01, max_size_bytes: 150000}\n");
  const JobResult result = Run(folder);
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.ExitCode(), 0);
  const auto report = Report(folder);
  EXPECT_EQ(report["verdict"], "PASSED");
  EXPECT_EQ(report["gates"].size(), 2u);
  EXPECT_LT(report["compressed"]["size_bytes"].get<double>(),
            0.3 * report["baseline"]["size_bytes"].get<double>());
  EXPECT_GE(report["agreement"]["top1"].get<double>(), 0.995);
  EXPECT_LE(report["agreement"]["max_lsb"].get<double>(), 1);
  for (const char* file : {"report.html", "recipe.resolved.yaml",
                           "tensors.json", "provenance.json"}) {
    EXPECT_TRUE(fs::exists(folder + "/artifacts/" + kProfile + "/" + file));
  }
  EXPECT_FALSE(fs::exists(folder + "/checkpoints"));
  EXPECT_EQ(sink_.events.back().done().outcome(), v1::Done::SUCCEEDED);
  // What analyze predicts before is what came out.
  const auto analysis = AnalyzeGraph(*LoadModel(digits_ + "/model.onnx"), 1,
                                     *profiles::LoadProfile(kProfile));
  ASSERT_TRUE(analysis.ok()) << analysis.status();
  EXPECT_NEAR(static_cast<double>(*analysis->size_8bit) /
                  report["compressed"]["size_bytes"].get<double>(),
              1, 0.03);
}

TEST_F(RunJobTest, ReducedColorsAreMeasuredAndNotedInTheFile) {
  const auto run = [&](const std::string& name, const std::string& bits) {
    const std::string folder = WriteJob(
        name, std::string("data: {preprocess: {scale: 0.00416666666666667, "
                          "mean: [0.305], std: [0.376]") +
                  bits + "}}\nstages: [quantize: {mode: ptq}]\n");
    const JobResult result = Run(folder);
    EXPECT_TRUE(result.status.ok()) << result.status;
    return folder;
  };
  const std::string whole = run("whole", "");
  const std::string reduced = run("reduced", ", color_bits: 1");
  const auto metadata = [](const std::string& folder) {
    return onnx_import::ImportOnnx(
               *ReadFile(folder + "/artifacts/" + kProfile + "/model.onnx"),
               {.raw = true})
        ->metadata;
  };
  EXPECT_EQ(metadata(whole).count("condense.input.color_bits"), 0u);
  EXPECT_EQ(metadata(reduced)["condense.input.color_bits"], "1");
  EXPECT_FALSE(Report(whole).contains("input"));
  EXPECT_EQ(Report(reduced)["input"]["color_bits"], 1);
  const auto parameters = [](const std::string& folder) {
    return nlohmann::json::parse(
        *ReadFile(folder + "/artifacts/" + kProfile +
                  "/provenance.json"))["predicate"]["buildDefinition"]
                                      ["externalParameters"];
  };
  EXPECT_FALSE(parameters(whole).contains("input"));
  EXPECT_EQ(parameters(reduced)["input"]["color_bits"], 1);
  const auto top1 = [](const nlohmann::json& figures) {
    return figures["metrics"]["top1"].get<double>();
  };
  // The float model is measured on what a device gives it, too.
  EXPECT_LT(top1(Report(reduced)["baseline"]), top1(Report(whole)["baseline"]));
  EXPECT_GE(Report(reduced)["agreement"]["top1"].get<double>(), 0.995);
}

TEST_F(RunJobTest, AGateThatFailsIsAnotherVerdictNotAFailure) {
  const std::string folder =
      WriteJob("job", std::string("data: {") + kPreprocess +
                          "}\nstages: [quantize: {mode: ptq}]\n"
                          "gates: {max_latency_ms: 0.000001}\n");
  const JobResult result = Run(folder);
  EXPECT_EQ(result.ExitCode(), 3);
  EXPECT_EQ(Report(folder)["verdict"], "TOO_SLOW");
  EXPECT_EQ(Report(folder)["gates"][0]["estimated"], true);
}

// Runs the recipe at once and in pieces.
void RunJobTest::ExpectStopsChangeNothing(const std::string& recipe) {
  const std::string whole = WriteJob("whole", recipe);
  ASSERT_TRUE(Run(whole).status.ok());
  const std::string parts = WriteJob("parts", recipe, true, 0);
  int stops = 0;
  for (;; ++stops) {
    ASSERT_LT(stops, 20);
    Control control;
    RecordingSink sink;
    int steps = 0;
    sink.at_event = [&](const v1::EngineEvent& event) {
      // Every third step the job is stopped, in the middle of whatever it does.
      if (event.has_event() && event.event().type() == "metric" &&
          event.event().metric().name() == "loss" && ++steps == 3) {
        control.Ask(Control::Request::kCheckpointAndStop);
      }
    };
    const JobResult result = RunJob(parts, &control, &sink);
    ASSERT_TRUE(result.status.ok()) << result.status;
    if (result.outcome == v1::Done::SUCCEEDED) break;
    ASSERT_EQ(result.outcome, v1::Done::STOPPED);
    EXPECT_EQ(result.ExitCode(), 5);
  }
  EXPECT_GE(stops, 4);
  EXPECT_EQ(ModelDigest(parts), ModelDigest(whole));
  // The rows of the report are whole too.
  const auto a = Report(whole)["stages"], b = Report(parts)["stages"];
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i]["name"], b[i]["name"]);
    EXPECT_EQ(a[i]["steps"], b[i]["steps"]);
    EXPECT_EQ(a[i]["metric_after"], b[i]["metric_after"]);
  }
}

TEST_F(RunJobTest, InterruptedEqualsUninterruptedToTheLastByte) {
  ExpectStopsChangeNothing(FullRecipe());
}

// The end of the small recipe, computed in another way.
std::string LowPrecisionRecipe() {
  std::string recipe = SmallRecipe();
  recipe.resize(recipe.find("  - prune"));
  return recipe +
         "  - finetune: {epochs: 3}\n"
         "  - quantize: {mode: qat, epochs: 1}\n"
         "compute: {precision: bf16, memory_format: channels_last, "
         "checkpoint_activations: true}\n";
}

TEST_F(RunJobTest, SoItDoesInBfloat16ChannelsLastWithCheckpointing) {
  ExpectStopsChangeNothing(LowPrecisionRecipe());
  const auto toolchain = Report(dir_ + "/parts")["toolchain"];
  EXPECT_EQ(toolchain["precision"], "bf16");
  EXPECT_EQ(toolchain["memory_format"], "channels_last");
}

TEST_F(RunJobTest, CheckpointedActivationsGiveTheSameModel) {
  const std::string whole = WriteJob("whole", SmallRecipe());
  ASSERT_TRUE(Run(whole).status.ok());
  const std::string cut = WriteJob(
      "cut", SmallRecipe() + "compute: {checkpoint_activations: true}\n");
  ASSERT_TRUE(Run(cut).status.ok());
  EXPECT_EQ(ModelDigest(cut), ModelDigest(whole));
}

TEST_F(RunJobTest, AShortTrainingIsNotMeasured) {
  const std::string folder = WriteJob("job", SmallRecipe());
  ASSERT_TRUE(Run(folder).status.ok());
  const auto toolchain = Report(folder)["toolchain"];
  EXPECT_EQ(toolchain["precision"], "float32");
  EXPECT_EQ(toolchain["memory_format"], "contiguous");
}

TEST_F(RunJobTest, Float16WithoutAGpuIsRefusedInPreflight) {
  const JobResult result =
      Run(WriteJob("job", SmallRecipe() + "compute: {precision: fp16}\n"));
  EXPECT_EQ(ErrorReason(result.status), "PRECISION_UNSUPPORTED");
  EXPECT_EQ(sink_.events.back().done().error().field(), "compute.precision");
}

TEST_F(RunJobTest, ACheckpointOfAnotherRecipeIsNotUsed) {
  const std::string folder = WriteJob("job", SmallRecipe(), true, 0);
  sink_.at_event = [this](const v1::EngineEvent& event) {
    if (event.has_checkpoint()) {
      control_.Ask(Control::Request::kCheckpointAndStop);
    }
  };
  ASSERT_EQ(Run(folder).outcome, v1::Done::STOPPED);
  std::ofstream(folder + "/recipe.yaml") << SmallRecipe() << "seed: 18\n";
  Control control;
  RecordingSink sink;
  ASSERT_TRUE(RunJob(folder, &control, &sink).status.ok());
  bool warned = false;
  for (const v1::EngineEvent& event : sink.events) {
    const auto& warning = event.event().warning();
    if (warning.reason() != "CHECKPOINT_MISMATCH") continue;
    warned = true;
    EXPECT_THAT(warning.message(), testing::EndsWith("different: recipe"));
  }
  EXPECT_TRUE(warned);
}

TEST_F(RunJobTest, CancelEndsWithoutACheckpointOrAnArtifact) {
  const std::string folder = WriteJob("job", SmallRecipe());
  sink_.at_event = [this](const v1::EngineEvent& event) {
    if (event.event().phase() == v1::Job::DISTILLING) {
      control_.Ask(Control::Request::kCancel);
    }
  };
  const JobResult result = Run(folder);
  EXPECT_EQ(result.outcome, v1::Done::CANCELLED);
  EXPECT_FALSE(fs::exists(folder + "/artifacts"));
}

TEST_F(RunJobTest, AJobWithoutDataIsVerifiedOnRandomInputsAndSaysSo) {
  const std::string folder =
      WriteJob("job", "stages: [prune: {target: {parameters: 0.5}}]\n", false);
  const JobResult result = Run(folder);
  ASSERT_TRUE(result.status.ok()) << result.status;
  const auto report = Report(folder);
  EXPECT_LE(report["compressed"]["parameters"].get<double>(),
            0.5 * report["baseline"]["parameters"].get<double>());
  EXPECT_GT(report["agreement"]["cosine"].get<double>(), 0.9999);
  EXPECT_FALSE(report["agreement"].contains("max_lsb"));
  EXPECT_THAT(report["warnings"].dump(), testing::HasSubstr("random inputs"));
  EXPECT_TRUE(report["compressed"]["metrics"].empty());
}

TEST_F(RunJobTest, OneTrainingServesTwoProfiles) {
  const std::string folder = WriteJob("job", SmallRecipe());
  auto job = nlohmann::json::parse(*ReadFile(folder + "/job.json"));
  job["profiles"] = {kProfile, "onnxruntime-cpu-x86-avx2"};
  std::ofstream(folder + "/job.json") << job.dump();
  ASSERT_TRUE(Run(folder).status.ok());
  int distillations = 0, calibrations = 0;
  for (const v1::EngineEvent& event : sink_.events) {
    if (event.event().type() != "phase") continue;
    distillations += event.event().phase() == v1::Job::DISTILLING;
    calibrations += event.event().phase() == v1::Job::CALIBRATING;
  }
  // Between the pruning steps, and the finetune stage.
  EXPECT_EQ(distillations, 2);
  EXPECT_EQ(calibrations, 2);
  const std::string other =
      folder + "/artifacts/onnxruntime-cpu-x86-avx2/report.json";
  const auto report = nlohmann::json::parse(*ReadFile(other));
  EXPECT_EQ(report["layers"][0]["bits_weight"], 7);
  EXPECT_EQ(Report(folder)["layers"][0]["bits_weight"], 8);
}

TEST_F(RunJobTest, OverridesLeaveALayerInFloatAndTheReportSaysWhy) {
  const std::string folder = WriteJob(
      "job", std::string("data: {") + kPreprocess +
                 "}\nstages:\n  - quantize: {mode: ptq, overrides: [{match: "
                 "classifier, skip: true}]}\n");
  ASSERT_TRUE(Run(folder).status.ok());
  for (const auto& layer : Report(folder)["layers"]) {
    const bool skipped = layer["name"] == "classifier";
    EXPECT_EQ(layer.contains("bits_weight"), !skipped) << layer;
    EXPECT_EQ(layer.contains("frozen_reason"), skipped) << layer;
  }
}

// Digits of the test set as class folders of PGM files, the first one cut
// short.
void WriteDamagedFolder(const std::string& from, const std::string& to) {
  const auto digits = data::OpenDataset(from);
  ASSERT_TRUE(digits.ok()) << digits.status();
  for (int64_t i = 0; i < 100; ++i) {
    const data::Sample sample = *(*digits)->Get(i);
    const std::string folder = to + "/" + std::to_string(sample.label);
    fs::create_directories(folder);
    std::ofstream file(folder + "/" + std::to_string(i) + ".pgm");
    file << "P5 " << sample.width << " " << sample.height << " 255\n";
    file.write(reinterpret_cast<const char*>(sample.pixels.data()),
               i == 0 ? 5 : std::ssize(sample.pixels));
  }
}

TEST_F(RunJobTest, ACorruptImageFailsTheJobUnlessTheRecipeAllowsIt) {
  WriteDamagedFolder(digits_ + "/data/test", dir_ + "/damaged");
  for (const bool allowed : {false, true}) {
    const std::string folder = WriteJob(
        "job", std::string("data: {eval: {source: test, max_corrupt: ") +
                   (allowed ? "0.01" : "0") + "}, " + kPreprocess +
                   "}\nstages: [quantize: {mode: ptq}]\n");
    auto job = nlohmann::json::parse(*ReadFile(folder + "/job.json"));
    job["data"]["test"] = dir_ + "/damaged";
    std::ofstream(folder + "/job.json") << job.dump();
    const JobResult result = Run(folder);
    if (!allowed) {
      EXPECT_EQ(result.ExitCode(), 4);
      EXPECT_EQ(ErrorReason(result.status), "CORRUPT_IMAGE");
      continue;
    }
    ASSERT_TRUE(result.status.ok()) << result.status;
    EXPECT_EQ(Report(folder)["agreement"]["samples"], 99);
    const std::string warnings = Report(folder)["warnings"].dump();
    EXPECT_THAT(warnings, testing::HasSubstr("1 image of data 'test' could"));
    EXPECT_THAT(warnings, testing::HasSubstr("/0.pgm"));
  }
}

TEST_F(RunJobTest, APublishedFolderServesAsTrainingAndAsTestData) {
  const std::string recipe = std::string("data: {") + kPreprocess +
                             "}\nstages: [quantize: {mode: ptq}]\n";
  const std::string two = WriteJob("two", recipe);
  const std::string one = WriteJob("one", recipe);
  auto job = nlohmann::json::parse(*ReadFile(one + "/job.json"));
  job["data"] = {{"train", digits_ + "/data"}, {"test", digits_ + "/data"}};
  std::ofstream(one + "/job.json") << job.dump();
  ASSERT_TRUE(Run(two).status.ok());
  const JobResult result = Run(one);
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(ModelDigest(one), ModelDigest(two));
  EXPECT_EQ(Report(one)["compressed"]["metrics"],
            Report(two)["compressed"]["metrics"]);
}

// Through training, export, the integers of the file and the report.
TEST_F(RunJobTest, EveryWayOfQuantizingEndsInAFileThatAgrees) {
  struct Case {
    const char* profile;
    const char* keys;
  };
  const Case cases[] = {
      {kProfile, "qat: {batch_norm: live}"},
      {kProfile, "activations: {bits: 4}, qat: {grids: lsq}"},
      {kProfile, "qat: {grids: pact, freeze_after: 0.5}"},
      {kProfile,
       "weights: {scheme: power_of_two}, activations: {scheme: power_of_two}"},
      {kProfile, "weights: {scheme: log2}, qat: {grids: calibrated}"},
      {kProfile, "weights: {scheme: lq, bits: 3}"},
      {kProfile, "weights: {scheme: lq, bits: 2}, qat: {batch_norm: live}"},
      {kProfile, "weights: {scheme: lut, bits: 2, granularity: tensor}"},
      {kProfile, "weights: {scheme: lut, bits: 3}, qat: {batch_norm: live}"},
      {kPacked, "weights: {scheme: ternary}, qat: {batch_norm: live}"},
      {kPacked, "weights: {scheme: binary}, activations: {scheme: float}"},
      {kPacked,
       "weights: {scheme: binary}, activations: {bits: 1}, qat: {batch_norm: "
       "live, grids: calibrated}"}};
  int count = 0;
  for (const Case& c : cases) {
    const std::string folder = WriteJob(
        absl::StrCat("job", count++),
        absl::StrCat("data: {train: {source: train, samples: 128}, "
                     "eval: {source: test, samples: 64}, ",
                     kPreprocess, "}\nstages:\n  - quantize: {mode: qat, ",
                     c.keys, "}\n"));
    auto job = nlohmann::json::parse(*ReadFile(folder + "/job.json"));
    job["profiles"] = {c.profile};
    std::ofstream(folder + "/job.json") << job.dump();
    const JobResult result = Run(folder);
    ASSERT_TRUE(result.status.ok()) << c.keys << " " << result.status;
    const auto report = nlohmann::json::parse(*ReadFile(
        absl::StrCat(folder, "/artifacts/", c.profile, "/report.json")));
    EXPECT_GE(report["agreement"]["top1"].get<double>(), 0.99) << c.keys;
    EXPECT_LE(report["agreement"].value("max_lsb", 0), 1) << c.keys;
  }
}

// The job without one of its data sets, or with another in its place.
void GiveData(const std::string& folder, const std::string& name,
              const std::string& path) {
  auto job = nlohmann::json::parse(*ReadFile(folder + "/job.json"));
  job["data"].erase(name);
  if (!path.empty()) job["data"][name] = path;
  std::ofstream(folder + "/job.json") << job.dump();
}

// Digits as images with a list of pairs, or with a table of paths alone.
void WriteImages(const std::string& from, const std::string& to,
                 const std::string& table) {
  const auto digits = data::OpenDataset(from);
  ASSERT_TRUE(digits.ok()) << digits.status();
  fs::create_directories(to);
  std::ofstream csv(to + "/list.csv");
  csv << table << "\n";
  for (int64_t i = 0; i < 128; ++i) {
    const data::Sample sample = *(*digits)->Get(i);
    std::ofstream file(absl::StrCat(to, "/", i, ".pgm"));
    file << "P5 " << sample.width << " " << sample.height << " 255\n";
    file.write(reinterpret_cast<const char*>(sample.pixels.data()),
               std::ssize(sample.pixels));
    csv << i << ".pgm";
    if (table != "path") csv << "," << (i + 1) % 128 << ".pgm,0";
    csv << "\n";
  }
}

std::string QatRecipe(const std::string& keys) {
  return std::string(
             "data: {train: {source: train, samples: 64}, eval: {source: test, "
             "samples: 64}, ") +
         kPreprocess +
         "}\nstages: [quantize: {mode: qat, epochs: 2, batch_size: 32, "
         "weights: {bits: 4}, " +
         keys + "}]\n";
}

TEST_F(RunJobTest, WithoutLabelsQatLearnsFromTheTeacherAlone) {
  const std::string labelled =
      WriteJob("labelled", QatRecipe("qat_data: unlabeled"));
  ASSERT_TRUE(Run(labelled).status.ok());
  EXPECT_EQ(Report(labelled)["stages"][0]["technique"], "qat without labels");
  EXPECT_GE(Report(labelled)["compressed"]["metrics"]["top1"].get<double>(),
            0.9);
  // The labels are not read: without them the same comes out.
  WriteImages(digits_ + "/data/train", dir_ + "/paths", "path");
  WriteImages(digits_ + "/data/train", dir_ + "/pairs", "a,b,same");
  std::vector<std::string> digests;
  for (const char* name : {"paths", "pairs"}) {
    const std::string folder = WriteJob(name, QatRecipe("qat_data: unlabeled"));
    GiveData(folder, "train", dir_ + "/" + name);
    const JobResult result = Run(folder);
    ASSERT_TRUE(result.status.ok()) << result.status;
    digests.push_back(ModelDigest(folder));
  }
  EXPECT_EQ(digests[0], digests[1]);
}

TEST_F(RunJobTest, LabelsThatAreReadMustBeThere) {
  WriteImages(digits_ + "/data/train", dir_ + "/paths", "path");
  const auto reason = [&](const std::string& keys, const char* unlabelled) {
    const std::string folder = WriteJob("job", QatRecipe(keys));
    GiveData(folder, unlabelled, dir_ + "/paths");
    return std::string(ErrorReason(Run(folder).status));
  };
  EXPECT_EQ(reason("qat_data: labeled", "train"), "LABELS_MISSING");
  EXPECT_EQ(reason("qat_data: unlabeled, early_stop: {}", "test"),
            "LABELS_MISSING");
  EXPECT_EQ(reason("qat_data: unlabeled", "test"), "");
  EXPECT_TRUE(Report(dir_ + "/job")["compressed"]["metrics"].empty());
  EXPECT_GT(Report(dir_ + "/job")["agreement"]["top1"].get<double>(), 0.99);
}

TEST_F(RunJobTest, WhatOutputsAreDoesNotDependOnLabelsToMeasureBy) {
  WriteImages(digits_ + "/data/train", dir_ + "/paths", "path");
  const std::string measured =
      WriteJob("measured", QatRecipe("qat_data: unlabeled"));
  const std::string blind = WriteJob("blind", QatRecipe("qat_data: unlabeled"));
  GiveData(blind, "test", dir_ + "/paths");
  for (const std::string& folder : {measured, blind}) {
    const JobResult result = Run(folder);
    ASSERT_TRUE(result.status.ok()) << result.status;
  }
  EXPECT_EQ(ModelDigest(blind), ModelDigest(measured));
}

TEST_F(RunJobTest, QatNeedsNoDataWhereTheModelKeepsItsStatistics) {
  const std::string folder =
      WriteJob("job",
               std::string("data: {train: {samples: 64}, ") + kPreprocess +
                   "}\nstages: [quantize: {mode: qat, qat_data: synthetic, "
                   "batch_size: 32}]\n",
               /*with_data=*/false);
  const JobResult result = Run(folder);
  ASSERT_TRUE(result.status.ok()) << result.status;
  const auto stages = Report(folder)["stages"];
  ASSERT_EQ(stages.size(), 2u);
  EXPECT_EQ(stages[0]["technique"], "images from statistics");
  EXPECT_EQ(stages[1]["technique"], "qat on synthetic images");
  EXPECT_EQ(stages[1]["steps"], 2);
  EXPECT_EQ(Report(folder)["agreement"]["samples"], 64);
  EXPECT_GT(Report(folder)["agreement"]["top1"].get<double>(), 0.98);
}

TEST_F(RunJobTest, SyntheticImagesAreTheSameAfterAnInterruption) {
  const std::string recipe =
      QatRecipe("qat_data: synthetic") + "budget: {time_seconds: 100000}\n";
  const std::string whole = WriteJob("whole", recipe);
  const std::string parts = WriteJob("parts", recipe, true, 0);
  for (const std::string& folder : {whole, parts})
    GiveData(folder, "train", "");
  ASSERT_TRUE(Run(whole).status.ok());
  int stops = 0;
  for (;; ++stops) {
    ASSERT_LT(stops, 20);
    Control control;
    RecordingSink sink;
    int checkpoints = 0;
    sink.at_event = [&](const v1::EngineEvent& event) {
      if (event.has_checkpoint() && ++checkpoints == 70) {
        control.Ask(Control::Request::kCheckpointAndStop);
      }
    };
    const JobResult result = RunJob(parts, &control, &sink);
    ASSERT_TRUE(result.status.ok()) << result.status;
    if (result.outcome == v1::Done::SUCCEEDED) break;
  }
  EXPECT_GE(stops, 1);
  EXPECT_EQ(ModelDigest(parts), ModelDigest(whole));
  EXPECT_EQ(Report(parts)["stages"].size(), Report(whole)["stages"].size());
}

TEST_F(RunJobTest, TheTimeBudgetEndsTheSynthesisToo) {
  const std::string folder = WriteJob(
      "job", std::string("data: {train: {samples: 10000}, eval: {source: "
                         "test, samples: 64}, ") +
                 kPreprocess +
                 "}\nstages: [quantize: {mode: qat, qat_data: synthetic}]\n"
                 "budget: {time_seconds: 1}\n");
  GiveData(folder, "train", "");
  const JobResult result = Run(folder);
  ASSERT_TRUE(result.status.ok()) << result.status;
  const auto report = Report(folder);
  EXPECT_EQ(report["cut"], true);
  for (const auto& stage : report["stages"]) {
    EXPECT_THAT(stage["ended"].get<std::string>(),
                testing::StartsWith("time budget after"));
  }
  EXPECT_THAT(report["warnings"].dump(),
              testing::HasSubstr("the synthesis of images was cut"));
  // What there was of images calibrated a model that works.
  EXPECT_GT(report["compressed"]["metrics"]["top1"].get<double>(), 0.5);
}

TEST_F(RunJobTest, WhatImagesCannotBeMadeFromIsRefusedInPreflight) {
  auto model = onnx_import::ImportOnnx(*ReadFile(digits_ + "/model.onnx"));
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_TRUE(graph::FoldBatchNorm().Run(*model).ok());
  const std::string folder = WriteJob("job", QatRecipe("qat_data: synthetic"));
  const auto bytes = onnx_export::ExportOnnx(*model);
  ASSERT_TRUE(WriteFileAtomically(folder + "/folded.onnx", *bytes).ok());
  auto job = nlohmann::json::parse(*ReadFile(folder + "/job.json"));
  job["model"] = folder + "/folded.onnx";
  std::ofstream(folder + "/job.json") << job.dump();
  const JobResult result = Run(folder);
  EXPECT_EQ(ErrorReason(result.status), "NO_BATCH_NORM");
  const ErrorDetail detail = ErrorDetailOf(result.status);
  EXPECT_EQ(detail.field, "stages[0].quantize.qat_data");
  EXPECT_GT(detail.line, 0);
  EXPECT_FALSE(detail.hint.empty());
}

TEST_F(RunJobTest, LevelsFoundAfterTrainingEndInAFileThatAgrees) {
  int count = 0;
  for (const char* keys :
       {"weights: {scheme: lq, bits: 2}",
        "weights: {scheme: lut, bits: 3, granularity: tensor}",
        "weights: {scheme: mrbiq, bits: 2}",
        "weights: {scheme: mrbiq, bits: 3}, activations: {scheme: float}"}) {
    for (const char* profile : {kProfile, kPacked}) {
      const std::string folder = WriteJob(
          absl::StrCat("job", count++),
          absl::StrCat("data: {calibration: {source: train, samples: 64}, "
                       "eval: {source: test, samples: 64}, ",
                       kPreprocess, "}\nstages:\n  - quantize: {mode: ptq, ",
                       keys, "}\n"));
      auto job = nlohmann::json::parse(*ReadFile(folder + "/job.json"));
      job["profiles"] = {profile};
      std::ofstream(folder + "/job.json") << job.dump();
      const JobResult result = Run(folder);
      ASSERT_TRUE(result.status.ok()) << keys << " " << result.status;
      const auto report = nlohmann::json::parse(*ReadFile(
          absl::StrCat(folder, "/artifacts/", profile, "/report.json")));
      EXPECT_GE(report["agreement"]["top1"].get<double>(), 0.99) << keys;
      EXPECT_LE(report["agreement"].value("max_lsb", 0), 1) << keys;
      EXPECT_GT(report["compressed"]["metrics"]["top1"].get<double>(), 0.85)
          << keys;
    }
  }
}

// A training that would take days.
std::string EndlessRecipe(const std::string& keys) {
  return std::string(
             "data: {train: {source: train, samples: 256}, eval: {source: "
             "test, samples: 64}, ") +
         kPreprocess + "}\nstages: [finetune: {epochs: 10000, " + keys + "}]\n";
}

TEST_F(RunJobTest, TheTimeBudgetEndsTrainingWithAVerifiedFile) {
  const std::string folder =
      WriteJob("job", EndlessRecipe("ema: {}") + "budget: {time_seconds: 1}\n");
  const JobResult result = Run(folder);
  ASSERT_TRUE(result.status.ok()) << result.status;
  const auto report = Report(folder);
  EXPECT_EQ(report["cut"], true);
  EXPECT_EQ(report["verdict"], "PASSED");
  EXPECT_LT(report["stages"][0]["steps"].get<int>(), 40000);
  EXPECT_THAT(report["stages"][0]["ended"].get<std::string>(),
              testing::StartsWith("time budget after"));
  EXPECT_THAT(report["warnings"].dump(), testing::HasSubstr("time budget"));
  EXPECT_GT(report["agreement"]["cosine"].get<double>(), 0.9999);
  EXPECT_GT(report["stages"][0]["metric_after"].get<double>(), 0.9);
}

TEST_F(RunJobTest, TheTimeBudgetCountsAllAttempts) {
  const std::string folder = WriteJob(
      "job", EndlessRecipe("") + "budget: {time_seconds: 100000}\n", true, 0);
  sink_.at_event = [this](const v1::EngineEvent& event) {
    if (event.has_checkpoint()) {
      control_.Ask(Control::Request::kCheckpointAndStop);
    }
  };
  ASSERT_EQ(Run(folder).outcome, v1::Done::STOPPED);
  // As if that attempt had taken all of it.
  std::string path;
  for (const auto& entry : fs::directory_iterator(folder + "/checkpoints")) {
    path = std::max(path, entry.path().string());
  }
  const auto job = Job::Load(folder);
  ASSERT_TRUE((*job)->Open().ok());
  auto checkpoint = training::ReadCheckpoint(path, (*job)->fingerprint());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  auto state =
      nlohmann::json::parse(std::string(checkpoint->blobs["state.json"]));
  EXPECT_GT(state["elapsed_seconds"].get<double>(), 0);
  const int64_t steps = state["steps"];
  state["elapsed_seconds"] = 99999;
  checkpoint->blobs["state.json"] = absl::Cord(state.dump());
  ASSERT_TRUE(training::WriteCheckpoint(path, *checkpoint).ok());
  Control control;
  RecordingSink sink;
  const JobResult result = RunJob(folder, &control, &sink);
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(Report(folder)["cut"], true);
  EXPECT_EQ(Report(folder)["stages"][0]["steps"], steps + 1);
}

TEST_F(RunJobTest, EarlyStopEndsTrainingThatImprovesNothing) {
  const std::string folder = WriteJob(
      "job", EndlessRecipe("optimizer: {sgd: {lr: 1.0e-12}}, early_stop: "
                           "{patience: 2}"));
  const JobResult result = Run(folder);
  ASSERT_TRUE(result.status.ok()) << result.status;
  const auto report = Report(folder);
  // The first epoch is the best, two more are not better; four steps each.
  EXPECT_EQ(report["stages"][0]["steps"], 12);
  EXPECT_EQ(report["stages"][0]["ended"], "early stop after 12 of 40000 steps");
  EXPECT_FALSE(report.contains("cut"));
}

TEST_F(RunJobTest, EarlyStopNeedsEvaluationData) {
  const std::string folder = WriteJob("job", EndlessRecipe("early_stop: {}"));
  auto job = nlohmann::json::parse(*ReadFile(folder + "/job.json"));
  job["data"].erase("test");
  std::ofstream(folder + "/job.json") << job.dump();
  const JobResult result = Run(folder);
  EXPECT_EQ(ErrorReason(result.status), "DATA_MISSING");
  EXPECT_EQ(ErrorDetailOf(result.status).field,
            "stages[0].finetune.early_stop");
}

TEST_F(RunJobTest, ANanInTheModelIsFoundInItsLayerBeforeAnyTraining) {
  const std::string folder = WriteJob("job", EndlessRecipe(""));
  auto model = onnx_import::ImportOnnx(*ReadFile(digits_ + "/model.onnx"));
  ASSERT_TRUE(model.ok()) << model.status();
  for (graph::NodeId id : model->order()) {
    if (model->node(id).op != "Conv") continue;
    const graph::ValueId weight = model->node(id).inputs[1];
    std::vector<float> values = model->ConstantOf(weight)->ToFloats();
    values[3] = std::nanf("");
    model->SetConstant(weight, graph::Tensor::Of<float>(
                                   model->ConstantOf(weight)->dims(), values));
    const std::string name = model->node(id).name;
    const auto bytes = onnx_export::ExportOnnx(*model);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    ASSERT_TRUE(WriteFileAtomically(folder + "/nan.onnx", *bytes).ok());
    auto job = nlohmann::json::parse(*ReadFile(folder + "/job.json"));
    job["model"] = folder + "/nan.onnx";
    std::ofstream(folder + "/job.json") << job.dump();
    const JobResult result = Run(folder);
    EXPECT_EQ(ErrorReason(result.status), "NAN_LOSS");
    EXPECT_EQ(ErrorDetailOf(result.status).node, name);
    EXPECT_FALSE(ErrorDetailOf(result.status).hint.empty());
    return;
  }
  FAIL() << "the model has no convolution";
}

TEST_F(RunJobTest, WhatIsWrongInTheTextEndsWithTwo) {
  const JobResult result = Run(WriteJob("job", "stages: [quantise: {}]\n"));
  EXPECT_EQ(result.ExitCode(), 2);
  EXPECT_EQ(sink_.events.back().done().error().reason(), "UNKNOWN_KEY");
  EXPECT_EQ(sink_.events.back().done().error().line(), 1);
}

}  // namespace
}  // namespace condense::pipeline
