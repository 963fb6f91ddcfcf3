// What the graph costs: import, verify and export of a 100 MB model against
// reading and writing the file, and the interpreter's time per node on tiny
// tensors. Prints one JSON object per figure.

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/files.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/export/torchscript/exporter.h"
#include "workers/engine/graph/verify.h"
#include "workers/engine/import/onnx.h"
#include "workers/engine/import/torchscript/importer.h"
#include "workers/engine/runtime/executor.h"

namespace condense {
namespace {

constexpr int kLayers = 25;
constexpr int kWidth = 1024;
constexpr int kChain = 1000;
constexpr int kRounds = 9;

double Seconds(absl::Time from) {
  return absl::ToDoubleSeconds(absl::Now() - from);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// 25 fully connected layers of 1024: 105 MB of weights.
graph::Graph Large() {
  graph::Graph graph;
  graph::ValueId x =
      graph.AddInput("x", graph::DType::kFloat32,
                     graph::Shape{graph::Dim::Symbol("N"), kWidth});
  for (int i = 0; i < kLayers; ++i) {
    const graph::ValueId w = graph.AddConstant(
        absl::StrCat("w", i),
        graph::Tensor::Of<float>({kWidth, kWidth},
                                 std::vector<float>(kWidth * kWidth, i)));
    x = graph.node(graph.AddNode("MatMul", "", {x, w}, {"y"})).outputs[0];
  }
  graph.AddOutput(x);
  return graph;
}

// A format: how a graph becomes bytes, and bytes a graph.
struct Format {
  const char* name;
  absl::StatusOr<std::string> (*write)(const graph::Graph&);
  absl::StatusOr<graph::Graph> (*read)(const std::string& bytes);
};
const Format kFormats[] = {
    {"import_export_100mb",
     [](const graph::Graph& g) { return onnx_export::ExportOnnx(g); },
     [](const std::string& bytes) { return onnx_import::ImportOnnx(bytes); }},
    {"import_export_100mb_torchscript",
     [](const graph::Graph& g) {
       return torchscript_export::ExportTorchScript(g);
     },
     [](const std::string& bytes) {
       torchscript_import::ImportOptions options;
       options.input_shapes = {graph::Shape{1, kWidth}};
       return torchscript_import::ImportTorchScript(bytes, options);
     }},
};

// One round: what the format takes, of what reading and writing takes.
absl::Status Round(const Format& format, const std::string& from,
                   const std::string& to, double* ours, double* copy) {
  absl::Time start = absl::Now();
  auto plain = ReadFile(from);
  if (!plain.ok()) return plain.status();
  absl::Status status = WriteFileAtomically(to, *plain);
  if (!status.ok()) return status;
  *copy = Seconds(start);
  start = absl::Now();
  const auto bytes = ReadFile(from);
  if (!bytes.ok()) return bytes.status();
  const auto graph = format.read(*bytes);
  if (!graph.ok()) return graph.status();
  status = graph::Verify(*graph);
  if (!status.ok()) return status;
  const auto again = format.write(*graph);
  if (!again.ok()) return again.status();
  status = WriteFileAtomically(to, *again);
  *ours = Seconds(start);
  return status;
}

int ImportAgainstCopy(const Format& format) {
  const auto bytes = format.write(Large());
  const auto folder = std::filesystem::temp_directory_path();
  const std::string from = folder / "condense_graph_benchmark.model";
  const std::string to = from + ".out";
  if (!bytes.ok() || !WriteFileAtomically(from, *bytes).ok()) return 1;
  std::vector<double> ours(kRounds), copies(kRounds);
  for (int i = 0; i < kRounds; ++i) {
    const absl::Status status = Round(format, from, to, &ours[i], &copies[i]);
    if (!status.ok()) return 1;
  }
  std::filesystem::remove(from);
  std::filesystem::remove(to);
  std::printf("{\"benchmark\":\"%s\",\"ratio\":%.2f}\n", format.name,
              Median(ours) / Median(copies));
  return 0;
}

int OverheadPerNode() {
  graph::Graph graph;
  graph::ValueId x =
      graph.AddInput("x", graph::DType::kFloat32, graph::Shape{4});
  for (int i = 0; i < kChain; ++i) {
    x = graph.node(graph.AddNode("Relu", "", {x}, {"y"})).outputs[0];
  }
  graph.AddOutput(x);
  auto executor = runtime::Executor::Create(graph);
  if (!executor.ok()) return 1;
  const torch::NoGradGuard no_grad;
  const torch::Tensor input = torch::randn({4});
  std::vector<double> ours, plain;
  for (int i = 0; i < kRounds * 5; ++i) {
    absl::Time start = absl::Now();
    torch::Tensor y = input;
    for (int k = 0; k < kChain; ++k) y = at::relu(y);
    plain.push_back(Seconds(start));
    start = absl::Now();
    (*executor)->Forward({input});
    ours.push_back(Seconds(start));
  }
  std::printf("{\"benchmark\":\"node_overhead\",\"us_per_node\":%.2f}\n",
              (Median(ours) - Median(plain)) / kChain * 1e6);
  return 0;
}

}  // namespace
}  // namespace condense

int main() {
  condense::runtime::SetThreads(1);
  int failed = 0;
  for (const auto& format : condense::kFormats) {
    failed += condense::ImportAgainstCopy(format);
  }
  return failed + condense::OverheadPerNode();
}
