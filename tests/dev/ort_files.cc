// Writes ONNX files as condense exports them, each in a folder with inputs and
// with the outputs that our runtime computes from the file, for ort_compare.js:
//
//   ort_files OUT models SHARED   every model of SHARED/models in opsets 13, 17
//                                 and 21
//   ort_files OUT operators       what came with opsets 18 to 21
//   ort_files OUT storage         weights in 4 to 16 bits, blocks, codebooks,
//                                 half precision, sparse and external

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/files.h"
#include "tests/dev/ort_cases.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/export/tensor_file.h"
#include "workers/engine/graph/convert_floats.h"
#include "workers/engine/graph/declared_types.h"
#include "workers/engine/import/onnx.h"
#include "workers/engine/runtime/executor.h"

namespace condense {
namespace {

namespace fs = std::filesystem;
using graph::DType;
using graph::Graph;
using graph::Tensor;

Tensor AsDeclared(const Graph& graph, graph::ValueId id, const Tensor& tensor) {
  return graph::IsFloating(tensor.dtype())
             ? graph::ConvertFloats(tensor, graph::DeclaredType(graph, id))
             : tensor;
}

absl::Status WriteTensor(const std::string& path, const Tensor& tensor) {
  auto bytes = onnx_export::NpyBytes(tensor);
  return bytes.ok() ? WriteFileAtomically(path, *bytes) : bytes.status();
}

absl::Status WriteCase(const std::string& folder, const OrtCase& c) {
  absl::Status status = MakeWritableFolder(folder);
  if (!status.ok()) return status;
  const std::string model = folder + "/model.onnx";
  status = onnx_export::ExportOnnxFile(c.graph, model, c.options);
  if (!status.ok()) return status;
  auto graph = onnx_import::ImportOnnxFile(model);
  if (!graph.ok()) return graph.status();
  auto executor = runtime::Executor::Create(*graph);
  if (!executor.ok()) return executor.status();
  std::vector<torch::Tensor> inputs;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    auto input = runtime::ToTorch(c.inputs[i]);
    if (!input.ok()) return input.status();
    inputs.push_back(*input);
    status = WriteTensor(absl::StrCat(folder, "/input_", i, ".npy"),
                         AsDeclared(*graph, graph->inputs()[i], c.inputs[i]));
    if (!status.ok()) return status;
  }
  const torch::NoGradGuard no_grad;
  auto outputs = (*executor)->Run(inputs);
  if (!outputs.ok()) return outputs.status();
  for (size_t i = 0; i < outputs->size(); ++i) {
    const graph::ValueId id = graph->outputs()[i];
    const Tensor output =
        runtime::FromTorch((*outputs)[i], graph->value(id).dtype);
    status = WriteTensor(absl::StrCat(folder, "/output_", i, ".npy"),
                         AsDeclared(*graph, id, output));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

int Write(const std::string& out, const std::vector<OrtCase>& cases) {
  int failed = 0;
  for (const OrtCase& c : cases) {
    const absl::Status status = WriteCase(absl::StrCat(out, "/", c.name), c);
    if (status.ok()) continue;
    ++failed;
    std::fprintf(stderr, "%s: %s\n", c.name.c_str(), ErrorText(status).c_str());
  }
  return failed;
}

// Random numbers, or small integers, that any model takes.
std::vector<Tensor> InputsOf(const Graph& graph) {
  torch::manual_seed(7);
  std::vector<Tensor> inputs;
  for (graph::ValueId id : graph.inputs()) {
    std::vector<int64_t> dims;
    for (const graph::Dim& dim : *graph.value(id).shape) {
      dims.push_back(dim.known() ? dim.value : dims.empty() ? 2 : 64);
    }
    inputs.push_back(
        runtime::FromTorch(graph::IsFloating(graph.value(id).dtype)
                               ? torch::randn(dims)
                               : torch::randint(0, 10, dims, torch::kInt64)));
  }
  return inputs;
}

int WriteModels(const std::string& out, const std::string& shared) {
  int failed = 0;
  for (const std::string folder : {"/models", "/models/exported"}) {
    if (!fs::exists(shared + folder)) continue;
    for (const auto& entry : fs::directory_iterator(shared + folder)) {
      if (entry.path().extension() != ".onnx") continue;
      const auto graph = onnx_import::ImportOnnxFile(entry.path().string());
      if (!graph.ok()) {
        ++failed;
        std::fprintf(stderr, "%s: %s\n", entry.path().c_str(),
                     ErrorText(graph.status()).c_str());
        continue;
      }
      std::vector<OrtCase> cases;
      for (int opset : {13, 17, 21}) {
        OrtCase c{absl::StrCat(entry.path().stem().string(), ".opset", opset),
                  *graph,
                  InputsOf(*graph),
                  {}};
        c.options.model.opset = opset;
        cases.push_back(std::move(c));
      }
      failed += Write(out, cases);
    }
  }
  return failed;
}

}  // namespace
}  // namespace condense

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  condense::runtime::SetThreads(2);
  const std::string out = argv[1], what = argv[2];
  if (what == "models" && argc == 4) return condense::WriteModels(out, argv[3]);
  if (what == "operators") {
    return condense::Write(out, condense::NewerOperators());
  }
  if (what == "storage") return condense::Write(out, condense::StorageForms());
  return 2;
}
