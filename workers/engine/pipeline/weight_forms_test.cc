// Whole jobs on the digits, one per form in which weights and activations can
// be stored.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/files.h"
#include "common/profiles/profiles.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "workers/engine/pipeline/analysis.h"
#include "workers/engine/pipeline/load_model.h"
#include "workers/engine/pipeline/run_job.h"
#include "workers/engine/runtime/executor.h"

namespace condense::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr char kVnni[] = "onnxruntime-cpu-x86-vnni";
constexpr char kInt4[] = "onnxruntime-opset21-int4";

class SilentSink : public EventSink {
 public:
  void Send(const v1::EngineEvent&) override {}
};

class WeightFormsTest : public testing::Test {
 protected:
  void SetUp() override {
    runtime::SetThreads(1);
    folder_ = absl::StrCat(
        testing::TempDir(), "/condense_forms_",
        testing::UnitTest::GetInstance()->current_test_info()->name());
    digits_ =
        std::string(std::getenv("CONDENSE_SOURCE_DIR")) + "/examples/digits";
  }
  void TearDown() override { fs::remove_all(folder_); }

  // With these keys beside the mode.
  JobResult Run(const std::string& profile, const std::string& keys) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream(folder_ + "/recipe.yaml")
        << "data: {train: {source: train, samples: 128}, eval: {source: test, "
           "samples: 64}, calibration: {source: train, samples: 64}, "
           "preprocess: {scale: 0.00416666666666667, mean: [0.305], std: "
           "[0.376], color: gray}}\nstages: [quantize: {"
        << keys << "}]\n";
    const nlohmann::json job = {{"model", digits_ + "/model.onnx"},
                                {"recipe", "recipe.yaml"},
                                {"profiles", {profile}},
                                {"threads", 1},
                                {"data",
                                 {{"train", digits_ + "/data/train"},
                                  {"test", digits_ + "/data/test"}}}};
    std::ofstream(folder_ + "/job.json") << job.dump();
    Control control;
    SilentSink sink;
    return RunJob(folder_, &control, &sink);
  }

  nlohmann::json Read(const std::string& profile, const std::string& file) {
    return nlohmann::json::parse(
        *ReadFile(folder_ + "/artifacts/" + profile + "/" + file));
  }

  // The report, after checking that the file does what the simulation did.
  nlohmann::json Report(const std::string& profile, const std::string& keys) {
    const JobResult result = Run(profile, keys);
    EXPECT_TRUE(result.status.ok()) << keys << ErrorText(result.status);
    if (!result.status.ok()) return {};
    const nlohmann::json report = Read(profile, "report.json");
    EXPECT_GE(report["agreement"]["top1"].get<double>(), 0.99) << keys;
    EXPECT_LE(report["agreement"].value("max_lsb", 0.0), 1) << keys;
    return report;
  }

  std::string Reason(const std::string& profile, const std::string& keys) {
    const JobResult result = Run(profile, keys);
    return absl::StrCat(ErrorReason(result.status), " ",
                        ErrorDetailOf(result.status).field);
  }

  static double Size(const nlohmann::json& report) {
    return report["compressed"]["size_bytes"].get<double>();
  }

  std::string folder_;
  std::string digits_;
};

TEST_F(WeightFormsTest, ALayerOf16BitsIsStoredInHalfAndComputedInFloat) {
  const double floats = fs::file_size(digits_ + "/model.onnx");
  for (const char* profile : {kVnni, "onnxruntime-cpu-x86-avx2", kInt4}) {
    const auto all = Report(profile, "mode: ptq, weights: {bits: 16}");
    EXPECT_NEAR(Size(all) / floats, 0.5, 0.02) << profile;
    for (const auto& layer : all["layers"]) {
      EXPECT_EQ(layer["bits_weight"], 16);
      EXPECT_FALSE(layer.contains("bits_activation"));
      EXPECT_GT(layer["snr_db"].get<double>(), 80);
    }
    EXPECT_LT(all["agreement"]["max_abs"].get<double>(), 1e-4);
  }
}

TEST_F(WeightFormsTest, AnOverrideGivesOneLayer16Bits) {
  for (const char* profile : {kVnni, kInt4}) {
    const auto plain = Report(profile, "mode: ptq");
    const auto last = plain["layers"].back();
    const auto report =
        Report(profile,
               absl::StrCat("mode: ptq, overrides: [{match: \"",
                            last["name"].get<std::string>(), "\", bits: 16}]"));
    const auto& layers = report["layers"];
    EXPECT_EQ(layers.back()["bits_weight"], 16);
    EXPECT_EQ(layers.back()["size_bytes"].get<double>(),
              last["size_bytes"].get<double>() *
                  (16.0 / (profile == std::string(kInt4) ? 4 : 8)));
    EXPECT_EQ(layers.front(), plain["layers"].front());
  }
}

TEST_F(WeightFormsTest,
       NoiseIsThatAgainstTheFloatWeightsHoweverTheyAreRounded) {
  const auto nearest = Report(kVnni,
                              "mode: ptq, weights: {bits: 4}, ptq: {rounding: "
                              "nearest}");
  for (const char* keys :
       {"weights: {bits: 4}", "weights: {scheme: lq, bits: 4}",
        "weights: {scheme: mrbiq, bits: 4}",
        "weights: {bits: 4}, ptq: {rounding: brecq, iterations: 20}"}) {
    const auto report = Report(kVnni, absl::StrCat("mode: ptq, ", keys));
    for (size_t i = 0; i < report["layers"].size(); ++i) {
      const double db = report["layers"][i]["snr_db"];
      EXPECT_NEAR(db, nearest["layers"][i]["snr_db"].get<double>(), 10) << keys;
    }
  }
  // What does not round to the nearest level loses more of the weights.
  const auto gptq = Report(kVnni, "mode: ptq, weights: {bits: 4}");
  for (size_t i = 0; i < gptq["layers"].size(); ++i) {
    EXPECT_LT(gptq["layers"][i]["snr_db"].get<double>(),
              nearest["layers"][i]["snr_db"].get<double>());
  }
}

TEST_F(WeightFormsTest, BlocksOfFourBitsArePackedAndLoseLessThanChannels) {
  const std::string alone =
      "mode: ptq, activations: {scheme: float}, ptq: {rounding: nearest}, "
      "weights: ";
  const auto channels = Report(kInt4, alone + "{granularity: channel}");
  const auto blocks =
      Report(kInt4, alone + "{granularity: block, block_size: 16}");
  double weights = 0, gain = 0;
  for (size_t i = 0; i < blocks["layers"].size(); ++i) {
    const auto& layer = blocks["layers"][i];
    EXPECT_EQ(layer["granularity"], "block");
    EXPECT_EQ(layer["bits_weight"], 4);
    EXPECT_FALSE(layer.contains("bits_activation"));
    weights += 2 * layer["size_bytes"].get<double>();
    gain += layer["snr_db"].get<double>() -
            channels["layers"][i]["snr_db"].get<double>();
  }
  EXPECT_GT(gain / static_cast<double>(blocks["layers"].size()), 1);
  // Half a byte per weight, four bytes per 16 of them.
  EXPECT_NEAR(Size(blocks) - Size(channels), weights / 16 * 4,
              0.1 * Size(channels));
  int stored = 0;
  const nlohmann::json file = Read(kInt4, "tensors.json");
  for (const auto& tensor : file["tensors"]) {
    if (tensor["dtype"] != "int4") continue;
    ++stored;
    EXPECT_EQ(tensor["block_size"], 16);
    EXPECT_EQ(tensor["shape"].size(), 2u);
  }
  EXPECT_EQ(stored, static_cast<int>(blocks["layers"].size()));
}

TEST_F(WeightFormsTest, AffineWeightsHaveZeroPoints) {
  for (const char* keys :
       {"mode: ptq, weights: {scheme: affine}",
        "mode: ptq, weights: {scheme: affine, granularity: block}",
        "mode: ptq, weights: {scheme: affine}, activations: {scheme: float}",
        "mode: qat, weights: {scheme: affine}"}) {
    const auto report = Report(kInt4, keys);
    for (const auto& layer : report["layers"]) {
      EXPECT_EQ(layer["scheme"], "affine") << keys;
      EXPECT_EQ(layer["bits_weight"], 4) << keys;
    }
    EXPECT_GE(report["compressed"]["metrics"]["top1"].get<double>(), 0.9);
    int stored = 0;
    const nlohmann::json file = Read(kInt4, "tensors.json");
    for (const auto& tensor : file["tensors"]) {
      if (tensor["dtype"] != "uint4") continue;
      ++stored;
      EXPECT_GT(tensor["zero_point"].size(), 1u);
    }
    EXPECT_EQ(stored, static_cast<int>(report["layers"].size()));
  }
}

TEST_F(WeightFormsTest, ActivationsAloneCanBeQuantized) {
  for (const char* keys :
       {"mode: ptq, weights: {scheme: float}, activations: {bits: 4}",
        "mode: qat, weights: {scheme: float}"}) {
    const auto report = Report(kVnni, keys);
    for (const auto& layer : report["layers"]) {
      EXPECT_FALSE(layer.contains("bits_weight"));
      EXPECT_TRUE(layer.contains("bits_activation"));
    }
    EXPECT_GT(Size(report), 0.95 * fs::file_size(digits_ + "/model.onnx"));
  }
}

TEST_F(WeightFormsTest, ActivationsOf16BitsLoseNextToNothing) {
  const auto report = Report(kInt4,
                             "mode: ptq, activations: {bits: 16}, weights: "
                             "{bits: 16}");
  for (const auto& layer : report["layers"]) {
    EXPECT_EQ(layer["bits_weight"], 16);
    EXPECT_EQ(layer["bits_activation"], 16);
  }
  EXPECT_LT(report["agreement"]["max_abs"].get<double>(), 1e-2);
  EXPECT_EQ(report["baseline"]["metrics"]["top1"],
            report["compressed"]["metrics"]["top1"]);
  // Integers of 4 bits times integers of 16.
  Report(kInt4, "mode: ptq, activations: {bits: 16, scheme: symmetric}");
}

TEST_F(WeightFormsTest, BlocksAndZeroPointsFollowTheWeightsInTraining) {
  for (const char* keys : {"mode: qat, weights: {granularity: block, bits: 2}",
                           "mode: qat, weights: {scheme: affine, bits: 2}"}) {
    const auto report = Report(kInt4, keys);
    EXPECT_EQ(report["layers"][0]["bits_weight"], 2) << keys;
  }
}

TEST_F(WeightFormsTest, TheSizeThatAnalyzePredictsIsThatOfTheFile) {
  const double written = Size(Report(kInt4, "mode: ptq"));
  for (const char* profile : {kVnni, kInt4}) {
    const auto analysis = AnalyzeGraph(*LoadModel(digits_ + "/model.onnx"), 1,
                                       *profiles::LoadProfile(profile));
    ASSERT_TRUE(analysis.ok()) << analysis.status();
    EXPECT_NEAR(static_cast<double>(*analysis->size_4bit) / written, 1, 0.02)
        << profile;
  }
}

TEST_F(WeightFormsTest, WhatAProfileCannotIsRefusedWithTheNearest) {
  const std::string at = "PROFILE_CANNOT stages[0].quantize.";
  EXPECT_EQ(Reason(kVnni, "mode: ptq, weights: {granularity: block}"),
            at + "weights.granularity");
  EXPECT_EQ(Reason(kInt4,
                   "mode: ptq, weights: {granularity: block}, activations: "
                   "{bits: 8}"),
            at + "weights.granularity");
  EXPECT_EQ(Reason(kVnni, "mode: ptq, weights: {scheme: affine}"),
            at + "weights.scheme");
  EXPECT_EQ(Reason(kVnni, "mode: ptq, activations: {bits: 16}"),
            at + "activations.bits");
  const std::string avx2 = "onnxruntime-cpu-x86-avx2";
  EXPECT_EQ(Reason(avx2, "mode: ptq, weights: {bits: 8}"), at + "weights.bits");
  EXPECT_EQ(Reason(avx2, "mode: ptq, overrides: [{match: \"*\", bits: 8}]"),
            at + "overrides[0].bits");
  const JobResult result = Run(avx2, "mode: ptq, weights: {bits: 8}");
  EXPECT_NE(result.status.message().find("the nearest is 7"),
            absl::string_view::npos)
      << result.status;
}

}  // namespace
}  // namespace condense::pipeline
