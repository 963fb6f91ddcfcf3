#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "workers/engine/data/random.h"
#include "workers/engine/evaluation/verification.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/pipeline/job.h"
#include "workers/engine/pipeline/run_job.h"
#include "workers/engine/pipeline/text_sink_test_util.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/training/evaluate.h"

namespace condense::pipeline {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kProfile[] = "onnxruntime-cpu-x86-vnni";
constexpr int kSide = 12;
constexpr int kSubjects = 6;
constexpr int kImages = 4;

graph::Tensor Random(std::vector<int64_t> dims, double size, uint64_t seed) {
  int64_t count = 1;
  for (int64_t dim : dims) count *= dim;
  data::Random random(seed);
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(random.Uniform(-size, size)));
  }
  return graph::Tensor::Of<float>(std::move(dims), values);
}

// Two convolutions and a linear layer: images [N, 3, 12, 12] to 16 values.
graph::Graph EmbeddingNet() {
  graph::Graph g;
  const auto node = [&g](const char* op, const std::string& name,
                         std::vector<graph::ValueId> inputs,
                         std::map<std::string, graph::Attribute> attributes) {
    return g
        .node(g.AddNode(op, name, std::move(inputs), {name + ".y"},
                        std::move(attributes)))
        .outputs[0];
  };
  graph::ValueId x =
      g.AddInput("image", graph::DType::kFloat32,
                 graph::Shape{graph::Dim::Symbol("N"), 3, kSide, kSide});
  int64_t from = 3;
  for (int64_t to : {16, 24}) {
    const std::string name = absl::StrCat("conv", to);
    const double size = std::sqrt(6.0 / static_cast<double>(from * 9));
    x = node("Conv", name,
             {x, g.AddConstant(name + ".w", Random({to, from, 3, 3}, size, to)),
              g.AddConstant(name + ".b", Random({to}, 0.1, to + 1))},
             {{"pads", std::vector<int64_t>{1, 1, 1, 1}},
              {"strides", std::vector<int64_t>{2, 2}}});
    x = node("Relu", name + ".relu", {x}, {});
    from = to;
  }
  x = node("Flatten", "flatten", {x}, {});
  x = node("Gemm", "embedding",
           {x, g.AddConstant("embedding.w", Random({16, 24 * 9}, 0.1, 5)),
            g.AddConstant("embedding.b", Random({16}, 0.02, 6))},
           {{"transB", int64_t{1}}});
  g.AddOutput(x);
  return g;
}

// Subjects are patterns, their images the pattern with noise: gray PGM files.
class VerificationJobTest : public testing::Test {
 protected:
  void SetUp() override {
    runtime::SetThreads(1);
    dir_ = testing::TempDir() + "/condense_verification_" +
           testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(dir_);
    WriteFaces();
    fs::create_directories(dir_ + "/job");
    std::ofstream(dir_ + "/job/model.onnx", std::ios::binary)
        << *onnx_export::ExportOnnx(EmbeddingNet());
  }
  void TearDown() override { fs::remove_all(dir_); }

  static std::string Face(int subject, int image) {
    return absl::StrCat("s", subject, "/", image, ".pgm");
  }

  void WriteFaces() {
    for (int subject = 0; subject < kSubjects; ++subject) {
      fs::create_directories(absl::StrCat(dir_, "/faces/s", subject));
      for (int image = 0; image < kImages; ++image) {
        data::Random pattern(100 + subject), noise(subject * 10 + image);
        std::ofstream file(dir_ + "/faces/" + Face(subject, image),
                           std::ios::binary);
        file << "P5 " << kSide << " " << kSide - 2 << " 255\n";
        for (int i = 0; i < kSide * (kSide - 2); ++i) {
          const double value =
              pattern.Uniform(70, 186) + noise.Uniform(-69, 69);
          file.put(static_cast<char>(static_cast<int>(value)));
        }
      }
    }
  }

  // Of neighbours in a subject, and of each image with one of the next subject:
  // 18 that show the same, 24 that do not.
  void WritePairs() {
    std::ofstream csv(dir_ + "/faces/pairs.csv");
    csv << "a,b,same\n";
    for (int subject = 0; subject < kSubjects; ++subject) {
      for (int image = 0; image < kImages; ++image) {
        if (image > 0) {
          csv << Face(subject, image - 1) << "," << Face(subject, image)
              << ",1\n";
        }
        csv << Face(subject, image) << ","
            << Face((subject + 1) % kSubjects, image) << ",0\n";
      }
    }
  }

  JobResult Run(const std::string& stages, const std::string& more = "",
                const std::string& data = "faces") {
    std::ofstream(dir_ + "/job/recipe.yaml")
        << "task: verification\n"
           "data: {eval: {source: faces}, train: {source: faces}, "
           "preprocess: {resize: [12, 12], scale: 0.0078125, mean: [1], color: "
           "rgb}}\nstages: ["
        << stages << "]\n"
        << more << "\n";
    nlohmann::json job = {{"model", "model.onnx"},
                          {"recipe", "recipe.yaml"},
                          {"profiles", {kProfile}},
                          {"checkpoint_interval_seconds", 0},
                          {"threads", 1}};
    if (!data.empty()) job["data"] = {{"faces", dir_ + "/" + data}};
    std::ofstream(dir_ + "/job/job.json") << job.dump();
    Control control;
    sink_.text.clear();
    return RunJob(dir_ + "/job", &control, &sink_);
  }

  std::string Artifact(const std::string& name) {
    return *ReadFile(
        absl::StrCat(dir_, "/job/artifacts/", kProfile, "/", name));
  }
  nlohmann::json Report() {
    return nlohmann::json::parse(Artifact("report.json"));
  }

  std::string dir_;
  TextSink sink_;
};

TEST_F(VerificationJobTest, LabelledFacesAreComparedEachWithEach) {
  const JobResult result = Run("quantize: {mode: ptq}");
  ASSERT_TRUE(result.status.ok()) << result.status;
  const auto report = Report();
  for (const char* model : {"baseline", "compressed"}) {
    const auto metrics = report[model]["metrics"];
    ASSERT_EQ(metrics.size(), 4u) << metrics;
    for (const char* name : {"accuracy", "eer", "tar_at_far_1e-3", "rank1"}) {
      EXPECT_GE(metrics[name].get<double>(), 0) << name;
      EXPECT_LE(metrics[name].get<double>(), 1) << name;
    }
  }
  const auto embedding = report["embedding"];
  EXPECT_EQ(embedding["size"], 16);
  EXPECT_EQ(embedding["samples"], 24);
  EXPECT_EQ(embedding["genuine_pairs"], 36);
  EXPECT_EQ(embedding["impostor_pairs"], 240);
  EXPECT_GT(embedding["cosine_mean"], 0.99);
  EXPECT_LE(embedding["cosine_min"], embedding["cosine_mean"]);
  EXPECT_LT(embedding["cosine_mean"], 1);
  EXPECT_FALSE(report["agreement"].contains("top1"));
  EXPECT_GT(report["agreement"]["cosine"], 0.9999);
  EXPECT_EQ(report["stages"][0]["metric_before"],
            report["baseline"]["metrics"]["accuracy"]);
  EXPECT_THAT(sink_.text, HasSubstr("baseline.eer"));
  EXPECT_THAT(sink_.text, HasSubstr("embedding.cosine_min"));
  EXPECT_THAT(sink_.text, Not(HasSubstr("top1")));
  const std::string page = Artifact("report.html");
  EXPECT_THAT(page, HasSubstr("equal error rate"));
  EXPECT_THAT(page, HasSubstr("36 pairs show the same, 240 do not"));
  EXPECT_THAT(page, Not(HasSubstr("top1")));
}

// The figures of the original, found without any of the job's evaluation.
TEST_F(VerificationJobTest, TheBaselineIsThatOfTheOriginalsEmbeddings) {
  ASSERT_TRUE(Run("quantize: {mode: ptq}").status.ok());
  const auto job = Job::Load(dir_ + "/job");
  ASSERT_TRUE(job.ok() && (*job)->Open().ok());
  auto model = runtime::Executor::Create((*job)->model());
  ASSERT_TRUE(model.ok()) << model.status();
  const auto batch = (*job)->EvalLoader()->Next();
  ASSERT_EQ((*batch)->count, kSubjects * kImages);
  // A gray image is the same in all three channels.
  EXPECT_EQ((*batch)->pixels[5], (*batch)->pixels[5 + kSide * kSide]);
  const torch::NoGradGuard no_grad;
  const torch::Tensor rows = torch::nn::functional::normalize(
      (*model)->Forward({training::ToTensors(**batch, torch::kCPU).x})[0]);
  const torch::Tensor cosine = rows.mm(rows.t());
  std::vector<evaluation::ScoredPair> pairs;
  int hits = 0;
  for (int a = 0; a < rows.size(0); ++a) {
    torch::Tensor others = cosine[a].clone();
    others[a] = -1;
    hits += others.argmax().item<int>() / kImages == a / kImages;
    for (int b = a + 1; b < rows.size(0); ++b) {
      pairs.push_back(
          {cosine[a][b].item<double>(), a / kImages == b / kImages});
    }
  }
  const auto metrics = Report()["baseline"]["metrics"];
  EXPECT_NEAR(metrics["eer"], *evaluation::EqualErrorRate(pairs), 1e-9);
  EXPECT_NEAR(metrics["accuracy"], *evaluation::FoldAccuracy(pairs), 1e-9);
  EXPECT_NEAR(metrics["rank1"], hits / 24.0, 1e-9);
  // Neither perfect nor a guess: the test could see a wrong figure.
  EXPECT_GT(metrics["eer"], 0);
  EXPECT_LT(metrics["eer"], 0.4);
}

TEST_F(VerificationJobTest, APairListIsScoredAsItStands) {
  WritePairs();
  const JobResult result = Run("quantize: {mode: ptq}");
  ASSERT_TRUE(result.status.ok()) << result.status;
  const auto report = Report();
  EXPECT_EQ(report["embedding"]["genuine_pairs"], 18);
  EXPECT_EQ(report["embedding"]["impostor_pairs"], 24);
  const auto metrics = report["compressed"]["metrics"];
  EXPECT_FALSE(metrics.contains("rank1"));
  EXPECT_TRUE(metrics.contains("eer"));
  EXPECT_TRUE(metrics.contains("accuracy"));
}

TEST_F(VerificationJobTest, GatesBoundTheRiseOfTheEqualErrorRate) {
  ASSERT_TRUE(Run("quantize: {mode: ptq}",
                  "gates: {max_eer_increase: 1, max_accuracy_drop: 1}")
                  .all_passed);
  EXPECT_EQ(Report()["verdict"], "PASSED");
  const JobResult strict =
      Run("quantize: {mode: ptq}", "gates: {max_eer_increase: -0.9}");
  ASSERT_TRUE(strict.status.ok()) << strict.status;
  EXPECT_EQ(strict.ExitCode(), 3);
  const auto report = Report();
  EXPECT_EQ(report["verdict"], "BELOW_ACCURACY");
  EXPECT_EQ(report["gates"][0]["name"], "max_eer_increase");
  EXPECT_NEAR(report["gates"][0]["value"].get<double>(),
              report["compressed"]["metrics"]["eer"].get<double>() -
                  report["baseline"]["metrics"]["eer"].get<double>(),
              1e-12);
}

TEST_F(VerificationJobTest, WhatCannotBeMeasuredIsRefusedInPreflight) {
  const std::string ptq = "quantize: {mode: ptq}";
  const auto reason = [&](const std::string& gates, const std::string& data) {
    return std::string(ErrorReason(Run(ptq, gates, data).status));
  };
  EXPECT_EQ(reason("", "faces/s0"), "LABELS_MISSING");
  fs::create_directories(dir_ + "/one");
  fs::copy(dir_ + "/faces/s0", dir_ + "/one/s0");
  EXPECT_EQ(reason("", "one"), "ONE_KIND_OF_PAIR");
  // Two subjects, with one image each.
  for (const char* subject : {"s0", "s1"}) {
    fs::remove_all(dir_ + "/one/" + subject);
    fs::create_directories(dir_ + "/one/" + subject);
    fs::copy(absl::StrCat(dir_, "/faces/", subject, "/0.pgm"),
             absl::StrCat(dir_, "/one/", subject, "/0.pgm"));
  }
  EXPECT_EQ(reason("", "one"), "ONE_KIND_OF_PAIR");
  // Three pairs: enough for an equal error rate, not for ten folds.
  fs::copy(dir_ + "/faces/s0/1.pgm", dir_ + "/one/s0/1.pgm");
  EXPECT_EQ(reason("gates: {max_accuracy_drop: 0.1}", "one"), "TOO_FEW_PAIRS");
  EXPECT_EQ(reason("gates: {max_eer_increase: 1}", "one"), "");
  EXPECT_FALSE(Report()["compressed"]["metrics"].contains("accuracy"));
  EXPECT_EQ(reason("gates: {max_eer_increase: 1}", ""), "DATA_MISSING");
  std::ofstream(dir_ + "/faces/pairs.csv")
      << "a,b,same\ns0/0.pgm,s0/77.pgm,1\n";
  EXPECT_EQ(reason("", "faces"), "BAD_MANIFEST");
}

TEST_F(VerificationJobTest, AnOutputThatIsNoEmbeddingIsRefused) {
  graph::Graph maps;
  const auto x =
      maps.AddInput("image", graph::DType::kFloat32,
                    graph::Shape{graph::Dim::Symbol("N"), 3, kSide, kSide});
  maps.AddOutput(
      maps.node(maps.AddNode("Relu", "relu", {x}, {"y"})).outputs[0]);
  std::ofstream(dir_ + "/job/model.onnx", std::ios::binary)
      << *onnx_export::ExportOnnx(maps);
  const JobResult result = Run("prune: {target: {macs: 0.5}}");
  EXPECT_EQ(ErrorReason(result.status), "OUTPUT_SHAPE_MISMATCH");
}

TEST_F(VerificationJobTest, QatLearnsTheOriginalsEmbeddingWithoutLabels) {
  const std::string few = "weights: {bits: 3}";
  ASSERT_TRUE(
      Run("quantize: {mode: ptq, ptq: {rounding: nearest}, " + few + "}")
          .status.ok());
  const double rounded = Report()["embedding"]["cosine_mean"];
  const JobResult result =
      Run("quantize: {mode: qat, epochs: 30, batch_size: 8, optimizer: {adam: "
          "{lr: 0.002}}, early_stop: {every_epochs: 10}, " +
          few + "}");
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(Report()["stages"][0]["technique"], "qat without labels");
  EXPECT_LT(1 - Report()["embedding"]["cosine_mean"].get<double>(),
            0.5 * (1 - rounded));
  EXPECT_THAT(Artifact("recipe.resolved.yaml"), HasSubstr("unlabeled"));
}

TEST_F(VerificationJobTest, FinetuningBringsAPrunedEmbeddingBack) {
  const std::string prune = "prune: {target: {macs: 0.6}}";
  ASSERT_TRUE(Run(prune).status.ok());
  const double pruned = Report()["embedding"]["cosine_mean"];
  const JobResult result = Run(
      prune + ", finetune: {epochs: 30, batch_size: 8, optimizer: {adam: {}}}");
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(Report()["stages"][1]["technique"], "embedding cosine");
  EXPECT_LT(1 - Report()["embedding"]["cosine_mean"].get<double>(),
            0.5 * (1 - pruned));
}

TEST_F(VerificationJobTest, WidthsAreChosenByWhatEmbeddingsLose) {
  const JobResult result =
      Run("quantize: {mode: ptq, mixed_precision: {target: {mean_bits: 4}}}");
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_GT(Report()["embedding"]["cosine_mean"], 0.9);
}

TEST_F(VerificationJobTest, GoesOnFromACheckpointWithTheSameReport) {
  ASSERT_TRUE(Run("quantize: {mode: ptq}").status.ok());
  auto whole = Report();
  fs::remove_all(dir_ + "/job/artifacts");
  Control control;
  TextSink sink;
  sink.at_event = [&](const v1::EngineEvent& event) {
    if (event.event().phase() == v1::Job::VERIFYING) {
      control.Ask(Control::Request::kCheckpointAndStop);
    }
  };
  ASSERT_EQ(RunJob(dir_ + "/job", &control, &sink).outcome, v1::Done::STOPPED);
  Control again;
  const JobResult result = RunJob(dir_ + "/job", &again, &sink_);
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_THAT(sink_.text, HasSubstr("goes on from the checkpoint"));
  for (const char* part : {"baseline", "compressed", "embedding"}) {
    EXPECT_EQ(Report()[part], whole[part]);
  }
}

}  // namespace
}  // namespace condense::pipeline
