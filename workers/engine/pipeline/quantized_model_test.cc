// Jobs on a model that comes quantized: our own int8 file, read again.

#include <filesystem>
#include <fstream>

#include "common/error.h"
#include "common/files.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "workers/engine/export/onnx.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/text.h"
#include "workers/engine/import/onnx.h"
#include "workers/engine/pipeline/run_job.h"
#include "workers/engine/quantization/lower_qdq.h"
#include "workers/engine/quantization/quantizers_in_graph.h"
#include "workers/engine/runtime/executor.h"

namespace condense::pipeline {
namespace {

namespace fs = std::filesystem;
using graph::Graph;

constexpr char kProfile[] = "onnxruntime-cpu-x86-vnni";
constexpr char kData[] =
    "data: {train: {source: train, samples: 256}, eval: {source: test, "
    "samples: 128}, preprocess: {scale: 0.00416666666666667, mean: [0.305], "
    "std: [0.376], color: gray}}\n";

class CollectingSink : public EventSink {
 public:
  void Send(const v1::EngineEvent& event) override {
    text += event.ShortDebugString() + "\n";
  }
  std::string text;
};

class QuantizedModelTest : public testing::Test {
 protected:
  // The int8 file, made once.
  static void SetUpTestSuite() {
    runtime::SetThreads(1);
    digits_ =
        std::string(std::getenv("CONDENSE_SOURCE_DIR")) + "/examples/digits";
    dir_ = testing::TempDir() + "/condense_quantized_model";
    fs::remove_all(dir_);
    const JobResult result = Run("first", digits_ + "/model.onnx",
                                 "stages: [quantize: {mode: ptq}]");
    ASSERT_TRUE(result.status.ok()) << result.status;
    file_ = Artifact("first");
  }
  static void TearDownTestSuite() { fs::remove_all(dir_); }

  static std::string Artifact(const std::string& job) {
    return dir_ + "/" + job + "/artifacts/" + kProfile + "/model.onnx";
  }

  static JobResult Run(const std::string& name, const std::string& model,
                       const std::string& stages) {
    const std::string folder = dir_ + "/" + name;
    fs::create_directories(folder);
    std::ofstream(folder + "/recipe.yaml") << kData << stages << "\n";
    const nlohmann::json job = {{"model", model},
                                {"recipe", "recipe.yaml"},
                                {"profiles", {kProfile}},
                                {"threads", 1},
                                {"data",
                                 {{"train", digits_ + "/data/train"},
                                  {"test", digits_ + "/data/test"}}}};
    std::ofstream(folder + "/job.json") << job.dump();
    Control control;
    events_ = CollectingSink();
    return RunJob(folder, &control, &events_);
  }

  static inline std::string digits_, dir_, file_;
  static inline CollectingSink events_;
};

torch::Tensor Output(const Graph& graph, const torch::Tensor& x) {
  auto executor = runtime::Executor::Create(graph);
  EXPECT_TRUE(executor.ok()) << executor.status();
  const torch::NoGradGuard no_grad;
  return (*executor)->Forward({x})[0];
}

// Eight random images.
torch::Tensor InputOf(const Graph& graph) {
  std::vector<int64_t> dims;
  for (const graph::Dim& dim : *graph.value(graph.inputs()[0]).shape) {
    dims.push_back(dim.known() ? dim.value : 8);
  }
  return torch::randn(dims);
}

TEST_F(QuantizedModelTest, LiftedAndLoweredAgainItIsTheSameGraph) {
  const std::string bytes = *ReadFile(file_);
  auto plain = onnx_import::ImportOnnx(bytes);
  auto lifted = onnx_import::ImportOnnx(bytes, {.lift_quantizers = true});
  ASSERT_TRUE(plain.ok() && lifted.ok()) << lifted.status();
  ASSERT_TRUE(quantization::HasQuantizers(*lifted));
  auto lowered = quantization::LowerToQdq(*lifted);
  ASSERT_TRUE(lowered.ok()) << lowered.status();
  ASSERT_TRUE(graph::InferShapes(lowered->graph).ok());
  auto again = onnx_export::ExportOnnx(lowered->graph, {.opset = 17});
  ASSERT_TRUE(again.ok()) << again.status();
  auto read = onnx_import::ImportOnnx(*again);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(graph::ToText(*read), graph::ToText(*plain));
  torch::manual_seed(1);
  const torch::Tensor x = InputOf(*plain);
  const torch::Tensor want = Output(*plain, x);
  // The same function: QuantizeLinear and its simulation agree bit by bit.
  EXPECT_TRUE(torch::equal(Output(*lifted, x), want));
  EXPECT_TRUE(torch::equal(Output(*read, x), want));
}

TEST_F(QuantizedModelTest, FinetuningTrainsTheWeightsThroughItsQuantizers) {
  const JobResult result =
      Run("finetune", file_, "stages: [finetune: {epochs: 1}]");
  ASSERT_TRUE(result.status.ok()) << result.status;
  auto before =
      onnx_import::ImportOnnx(*ReadFile(file_), {.lift_quantizers = true});
  auto after = onnx_import::ImportOnnx(*ReadFile(Artifact("finetune")),
                                       {.lift_quantizers = true});
  ASSERT_TRUE(before.ok() && after.ok());
  int weights = 0, moved = 0;
  for (graph::NodeId id : after->order()) {
    const graph::Node& node = after->node(id);
    if (!node.IsFakeQuantize() || node.String("role", "") != "weight") continue;
    const auto& name = after->value(node.inputs[0]).name;
    const graph::ValueId old = before->FindValue(name);
    ASSERT_NE(old, graph::kNoValue) << name;
    ++weights;
    moved += !(*before->ConstantOf(old) == *after->ConstantOf(node.inputs[0]));
  }
  EXPECT_GT(weights, 0);
  EXPECT_EQ(moved, weights);
  EXPECT_LE(fs::file_size(Artifact("finetune")), fs::file_size(file_) + 100);
}

TEST_F(QuantizedModelTest, AQuantizeStagePlacesTheQuantizersAnewAndSaysSo) {
  const JobResult result =
      Run("again", file_, "stages: [quantize: {mode: ptq}]");
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_NE(events_.text.find("REQUANTIZED"), std::string::npos);
  auto graph = onnx_import::ImportOnnx(*ReadFile(Artifact("again")));
  ASSERT_TRUE(graph.ok());
  // Once, not twice.
  auto first = onnx_import::ImportOnnx(*ReadFile(file_));
  EXPECT_EQ(graph->order().size(), first->order().size());
}

TEST_F(QuantizedModelTest, PruningWithoutAQuantizeStageIsRefused) {
  const JobResult result =
      Run("prune", file_, "stages: [prune: {target: {macs: 0.8}}]");
  EXPECT_EQ(ErrorReason(result.status), "ALREADY_QUANTIZED") << result.status;
}

}  // namespace
}  // namespace condense::pipeline
