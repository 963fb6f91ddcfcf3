// Every model of ../shared/models, ONNX and TorchScript: imported, run,
// compared with the outputs that its exporter recorded, written again and
// trained.

#include <torch/script.h>
#include <torch/version.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/shared_dir.h"
#include "workers/engine/data/file_tree.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/export/torchscript/exporter.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/passes/fold_batch_norm.h"
#include "workers/engine/graph/same_graph.h"
#include "workers/engine/import/onnx.h"
#include "workers/engine/import/tensor_file.h"
#include "workers/engine/import/torchscript/importer.h"
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
    if (absl::EndsWith(path, ".onnx") || absl::EndsWith(path, ".pt")) {
      paths.push_back(path);
    }
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

absl::StatusOr<Graph> Import(const std::string& path,
                             const Recorded& recorded) {
  if (absl::EndsWith(path, ".onnx")) return onnx_import::ImportOnnxFile(path);
  torchscript_import::ImportOptions options;
  for (const Tensor& input : recorded.inputs) {
    options.input_shapes.push_back(
        graph::Shape(input.sizes().begin(), input.sizes().end()));
    options.input_dtypes.push_back(input.is_floating_point()
                                       ? graph::DType::kFloat32
                                       : graph::DType::kInt64);
  }
  return torchscript_import::ImportTorchScript(*ReadFile(path), options);
}

// What LibTorch itself makes of a TorchScript model.
Recorded RunByLibTorch(const std::string& path) {
  torch::jit::Module module = torch::jit::load(path);
  module.eval();
  const bool face = absl::StrContains(path, "facenet");
  torch::manual_seed(1);
  Recorded recorded;
  recorded.inputs = {torch::rand(face ? std::vector<int64_t>{2, 3, 112, 112}
                                      : std::vector<int64_t>{2, 3, 32, 32})};
  const torch::NoGradGuard no_grad;
  recorded.outputs = {module.forward({recorded.inputs[0]}).toTensor()};
  return recorded;
}

// Models that LibTorch 1.13 cannot load: newer operators.
bool NeedsNewerLibTorch(const std::string& path) {
  return TORCH_VERSION_MAJOR < 2 &&
         (absl::EndsWith(path, "vit.scripted.pt") ||
          absl::EndsWith(path, "transformer_encoder.scripted.pt"));
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

// A LayerNormalization over a size that is not known cannot be told from the
// operators that opset 13 has for it.
bool NormalizesOpenSizes(const Graph& graph) {
  for (graph::NodeId id : graph.order()) {
    const graph::Node& node = graph.node(id);
    if (!node.Is("LayerNormalization")) continue;
    const auto& shape = graph.value(node.inputs[0]).shape;
    if (!shape || shape->empty() || !shape->back().known()) return true;
  }
  return false;
}

// Written as ONNX of each opset and read again, it is the same graph.
void ExpectRoundTrips(const Graph& graph, const Recorded& recorded) {
  for (int opset : {13, 17, 21}) {
    SCOPED_TRACE(opset);
    auto bytes = onnx_export::ExportOnnx(graph, {.opset = opset});
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    auto again = onnx_import::ImportOnnx(*bytes);
    ASSERT_TRUE(again.ok()) << again.status();
    ExpectClose(Forward(*again, recorded.inputs), recorded.outputs);
    if (opset > 13 || !NormalizesOpenSizes(graph)) {
      EXPECT_EQ(graph::Difference(graph, *again), "");
    }
  }
}

// Batch normalisation folded, it is the same function.
void ExpectFolds(const Graph& graph, const Recorded& recorded) {
  Graph folded = graph;
  const auto changed = graph::FoldBatchNorm().Run(folded);
  ASSERT_TRUE(changed.ok()) << changed.status();
  if (!*changed) return;
  ASSERT_TRUE(graph::InferShapes(folded).ok());
  ExpectClose(Forward(folded, recorded.inputs), recorded.outputs);
}

std::vector<Tensor> RunScript(const std::string& bytes,
                              const std::vector<Tensor>& inputs) {
  std::istringstream stream(bytes);
  torch::jit::Module module = torch::jit::load(stream);
  const torch::NoGradGuard no_grad;
  const c10::IValue result =
      module.forward(std::vector<c10::IValue>(inputs.begin(), inputs.end()));
  if (result.isTensor()) return {result.toTensor()};
  std::vector<Tensor> outputs;
  for (const c10::IValue& element : result.toTupleRef().elements()) {
    outputs.push_back(element.toTensor());
  }
  return outputs;
}

// Written as TorchScript, LibTorch itself computes the same, also with another
// batch; read again by us, too.
void ExpectTorchScript(const Graph& graph, const Recorded& recorded) {
  auto bytes = torchscript_export::ExportTorchScript(graph);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  ExpectClose(RunScript(*bytes, recorded.inputs), recorded.outputs);
  const std::vector<Tensor> inputs = RandomInputs(graph, 4);
  ExpectClose(RunScript(*bytes, inputs), Forward(graph, inputs));
  torchscript_import::ImportOptions options;
  for (graph::ValueId id : graph.inputs()) {
    options.input_shapes.push_back(graph.value(id).shape);
    options.input_dtypes.push_back(graph.value(id).dtype);
  }
  auto again = torchscript_import::ImportTorchScript(*bytes, options);
  ASSERT_TRUE(again.ok()) << again.status();
  ExpectClose(Forward(*again, inputs), Forward(graph, inputs));
}

class ModelsTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ModelsTest, RunsAsRecordedAndIsWrittenAndTrained) {
  if (GetParam() == "none") GTEST_SKIP() << "../shared is not there";
  runtime::SetThreads(2);
  Recorded recorded = ReadRecorded(GetParam());
  const bool script = absl::EndsWith(GetParam(), ".pt");
  if (NeedsNewerLibTorch(GetParam())) {
    const absl::Status status = Import(GetParam(), recorded).status();
    EXPECT_EQ(ErrorReason(status), "NOT_A_MODEL");
    EXPECT_THAT(std::string(status.message()),
                ::testing::HasSubstr("aten::scaled_dot_product_attention"));
    return;
  }
  if (script && recorded.inputs.empty()) recorded = RunByLibTorch(GetParam());
  auto graph = Import(GetParam(), recorded);
  ASSERT_TRUE(graph.ok()) << graph.status();
  if (recorded.inputs.empty()) {
    recorded.inputs = RandomInputs(*graph, 1);
    recorded.outputs = Forward(*graph, recorded.inputs);
  } else {
    ExpectClose(Forward(*graph, recorded.inputs), recorded.outputs);
  }
  ExpectFolds(*graph, recorded);
  ExpectRoundTrips(*graph, recorded);
  ExpectTorchScript(*graph, recorded);
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
