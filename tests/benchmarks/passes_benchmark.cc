// What the passes do to real models: for every ONNX file of ../shared/models
// the nodes in the file, after import and with batch normalisation folded, and
// what a training step of the exported models with fused operators costs
// against the same model with the operators as opset 13 has them, interleaved.
// Prints one JSON object per figure. With file names: the text of these models
// after the passes.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "tests/testing/shared_dir.h"
#include "workers/engine/export/lower.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/passes/fold_batch_norm.h"
#include "workers/engine/graph/passes/simplify.h"
#include "workers/engine/graph/text.h"
#include "workers/engine/import/onnx.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/runtime/fold.h"

namespace condense {
namespace {

using graph::Graph;

constexpr int kRounds = 15;
constexpr int64_t kBatch = 8;
constexpr int kSkip = 77;

std::vector<std::string> OnnxFilesIn(const std::string& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string path = entry.path().string();
    if (absl::EndsWith(path, ".onnx")) paths.push_back(path);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

int CountOf(const Graph& graph, const std::string& op) {
  int count = 0;
  for (graph::NodeId id : graph.order()) count += graph.node(id).op == op;
  return count;
}

// As jobs load a model.
absl::StatusOr<Graph> Load(const std::string& path) {
  CONDENSE_ASSIGN_OR_RETURN(Graph graph, onnx_import::ImportOnnxFile(path));
  CONDENSE_RETURN_IF_ERROR(runtime::FoldNodes(&graph).status());
  CONDENSE_RETURN_IF_ERROR(graph::Simplify(graph));
  return graph;
}

// Nodes of the file itself, without constants; -1 where shapes of an old opset
// cannot be inferred as they are.
int NodesInFile(const std::string& bytes) {
  const auto raw = onnx_import::ImportOnnx(bytes, {.raw = true});
  if (!raw.ok()) return -1;
  return static_cast<int>(raw->order().size()) - CountOf(*raw, "Constant");
}

int CountNodes(const std::string& path) {
  const auto bytes = ReadFile(path);
  if (!bytes.ok()) return 1;
  auto graph = Load(path);
  if (!graph.ok()) return 1;
  const int imported = static_cast<int>(graph->order().size());
  const int transposes = CountOf(*graph, "Transpose");
  if (!graph::FoldBatchNorm().Run(*graph).ok()) return 1;
  std::printf(
      "{\"benchmark\":\"nodes\",\"model\":\"%s\",\"file\":%d,\"imported\":%d,"
      "\"folded\":%d,\"transposes\":%d,\"batch_norms_left\":%d}\n",
      std::filesystem::path(path).filename().c_str(), NodesInFile(*bytes),
      imported, static_cast<int>(graph->order().size()), transposes,
      CountOf(*graph, "BatchNormalization"));
  return 0;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double StepSeconds(runtime::Executor* executor, const torch::Tensor& x) {
  const absl::Time start = absl::Now();
  for (auto& parameter : executor->parameters()) {
    parameter.tensor.mutable_grad() = torch::Tensor();
  }
  executor->Forward({x})[0].square().mean().backward();
  return absl::ToDoubleSeconds(absl::Now() - start);
}

// The step of the fused graph over that of the graph as opset 13 has it.
int FusedAgainstDecomposed(const std::string& path) {
  auto fused = Load(path);
  if (!fused.ok()) return 1;
  Graph decomposed = *fused;
  if (!onnx_export::LowerToOpset(decomposed, 13).ok() ||
      !graph::InferShapes(decomposed).ok()) {
    return 1;
  }
  auto a = runtime::Executor::Create(*fused);
  auto b = runtime::Executor::Create(decomposed);
  if (!a.ok() || !b.ok()) return 1;
  (*a)->SetTraining(true);
  (*b)->SetTraining(true);
  std::vector<int64_t> dims;
  for (const graph::Dim& dim : *fused->value(fused->inputs()[0]).shape) {
    dims.push_back(dim.known() ? dim.value : kBatch);
  }
  const torch::Tensor x = torch::rand(dims);
  std::vector<double> ours, theirs;
  for (int i = 0; i < kRounds; ++i) {
    theirs.push_back(StepSeconds(b->get(), x));
    ours.push_back(StepSeconds(a->get(), x));
  }
  std::printf(
      "{\"benchmark\":\"fused_step\",\"model\":\"%s\",\"nodes\":%d,"
      "\"nodes_decomposed\":%d,\"ratio\":%.3f}\n",
      std::filesystem::path(path).filename().c_str(),
      static_cast<int>(fused->order().size()),
      static_cast<int>(decomposed.order().size()),
      Median(ours) / Median(theirs));
  return 0;
}

int Run() {
  const std::string shared = testing::SharedDir();
  if (shared.empty()) return kSkip;
  int failures = 0;
  for (const std::string folder : {"/models", "/models/exported"}) {
    if (!std::filesystem::exists(shared + folder)) continue;
    for (const auto& path : OnnxFilesIn(shared + folder)) {
      failures += CountNodes(path);
    }
  }
  for (const char* model : {"efficientnet_b0", "vit", "convnext_tiny"}) {
    const std::string path =
        absl::StrCat(shared, "/models/exported/", model, ".ts.onnx");
    if (std::filesystem::exists(path)) {
      failures += FusedAgainstDecomposed(path);
    }
  }
  return failures;
}

int PrintText(const std::string& path) {
  const auto graph = Load(path);
  std::printf("%s\n", graph.ok() ? graph::ToText(*graph).c_str()
                                 : graph.status().ToString().c_str());
  return graph.ok() ? 0 : 1;
}

}  // namespace
}  // namespace condense

int main(int argc, char** argv) {
  condense::runtime::SetThreads(2);
  int failures = 0;
  for (int i = 1; i < argc; ++i) failures += condense::PrintText(argv[i]);
  return argc > 1 ? failures : condense::Run();
}
