// Every ONNX model of ../shared/models: imported, run, compared with the
// outputs that its exporter recorded, written again and trained.

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/shared_dir.h"
#include "workers/engine/data/file_tree.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/graph/text.h"
#include "workers/engine/import/onnx.h"
#include "workers/engine/import/tensor_file.h"
#include "workers/engine/runtime/executor.h"

namespace condense {
namespace {

namespace fs = std::filesystem;
using graph::Graph;
using torch::Tensor;

constexpr double kRelative = 1e-4;

std::vector<std::string> ModelsIn(const std::string& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string path = entry.path().string();
    if (absl::EndsWith(path, ".onnx")) paths.push_back(path);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// All models, with the recorded inputs and outputs where there are some.
std::vector<std::string> Models() {
  const std::string shared = testing::SharedDir();
  if (shared.empty()) return {"none"};
  std::vector<std::string> paths = ModelsIn(shared + "/models");
  if (fs::exists(shared + "/models/exported")) {
    for (auto& path : ModelsIn(shared + "/models/exported")) {
      paths.push_back(std::move(path));
    }
  }
  return paths;
}

struct Recorded {
  std::vector<Tensor> inputs, outputs;
};

Recorded ReadRecorded(const std::string& model) {
  const fs::path path(model);
  std::string name = path.filename().string();
  name = name.substr(0, name.find('.'));
  const std::string file = (path.parent_path() / (name + ".io.npz")).string();
  Recorded recorded;
  // An .npz file is a zip archive of .npy files.
  const std::string copy = ::testing::TempDir() + "/" + name + ".zip";
  if (!fs::exists(file)) return recorded;
  fs::copy_file(file, copy, fs::copy_options::overwrite_existing);
  auto tree = data::FileTree::Open(copy);
  EXPECT_TRUE(tree.ok()) << tree.status();
  for (const auto& [entry, size] : (*tree)->files()) {
    auto tensor = onnx_import::ParseNpy(*(*tree)->Read(entry));
    EXPECT_TRUE(tensor.ok()) << entry << tensor.status();
    auto& list = absl::StartsWith(entry, "in") || absl::StartsWith(entry, "x")
                     ? recorded.inputs
                     : recorded.outputs;
    list.push_back(*runtime::ToTorch(*tensor));
  }
  return recorded;
}

std::vector<Tensor> RandomInputs(const Graph& graph, int64_t batch) {
  torch::manual_seed(1);
  std::vector<Tensor> inputs;
  for (graph::ValueId id : graph.inputs()) {
    std::vector<int64_t> dims;
    for (const graph::Dim& dim : *graph.value(id).shape) {
      dims.push_back(dim.known() ? dim.value : batch);
    }
    inputs.push_back(graph::IsFloating(graph.value(id).dtype)
                         ? torch::rand(dims)
                         : torch::randint(0, 10, dims, torch::kInt64));
  }
  return inputs;
}

double Difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  if (a.sizes() != b.sizes()) return 1;
  const double top = std::max(1e-6, b.abs().max().item<double>());
  return (a - b).abs().max().item<double>() / top;
}

std::vector<Tensor> Forward(const Graph& graph,
                            const std::vector<Tensor>& inputs) {
  auto executor = runtime::Executor::Create(graph);
  EXPECT_TRUE(executor.ok()) << executor.status();
  if (!executor.ok()) return {};
  const torch::NoGradGuard no_grad;
  auto outputs = (*executor)->Run(inputs);
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  return outputs.ok() ? *outputs : std::vector<Tensor>();
}

void ExpectClose(const std::vector<Tensor>& got,
                 const std::vector<Tensor>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_LT(Difference(got[i], want[i]), kRelative) << "output " << i;
  }
}

// Mean squared error to random targets falls over 20 steps.
void ExpectLearns(const Graph& graph) {
  auto created = runtime::Executor::Create(graph);
  ASSERT_TRUE(created.ok());
  runtime::Executor& executor = **created;
  const std::vector<Tensor> inputs = RandomInputs(graph, 4);
  std::vector<Tensor> targets;
  for (const Tensor& y : Forward(graph, inputs)) {
    targets.push_back(torch::randn(y.sizes()));
  }
  executor.SetTraining(true);
  std::vector<Tensor> weights;
  for (auto& parameter : executor.parameters()) {
    weights.push_back(parameter.tensor);
  }
  ASSERT_FALSE(weights.empty());
  torch::optim::Adam optimizer(weights, torch::optim::AdamOptions(1e-3));
  double first = 0, last = 0;
  for (int step = 0; step < 20; ++step) {
    optimizer.zero_grad();
    const std::vector<Tensor> outputs = executor.Forward(inputs);
    Tensor loss = torch::zeros({});
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!outputs[i].is_floating_point()) continue;
      loss = loss + torch::mse_loss(outputs[i], targets[i]);
    }
    loss.backward();
    optimizer.step();
    last = loss.item<double>();
    if (step == 0) first = last;
  }
  EXPECT_LT(last, first);
}

class ModelsTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ModelsTest, RunsAsRecordedAndIsWrittenAndTrained) {
  if (GetParam() == "none") GTEST_SKIP() << "../shared is not there";
  runtime::SetThreads(2);
  auto graph = onnx_import::ImportOnnxFile(GetParam());
  ASSERT_TRUE(graph.ok()) << graph.status();
  Recorded recorded = ReadRecorded(GetParam());
  if (recorded.inputs.empty()) {
    recorded.inputs = RandomInputs(*graph, 1);
    recorded.outputs = Forward(*graph, recorded.inputs);
  } else {
    ExpectClose(Forward(*graph, recorded.inputs), recorded.outputs);
  }
  auto bytes = onnx_export::ExportOnnx(*graph);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  auto again = onnx_import::ImportOnnx(*bytes);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(graph::ToText(*again), graph::ToText(*graph));
  ExpectClose(Forward(*again, recorded.inputs), recorded.outputs);
  ExpectLearns(*graph);
}

std::string NameOf(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = fs::path(info.param).stem().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !isalnum(c); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, ModelsTest, ::testing::ValuesIn(Models()),
                         NameOf);

}  // namespace
}  // namespace condense
