// condense-engine infer and convert.

#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/export/tensor_file.h"
#include "workers/engine/graph/cost.h"
#include "workers/engine/import/onnx.h"
#include "workers/engine/import/tensor_file.h"
#include "workers/engine/pipeline/commands.h"
#include "workers/engine/runtime/executor.h"

namespace condense::pipeline {
namespace {

namespace fs = std::filesystem;

struct Inputs {
  std::vector<graph::Tensor> tensors;
  // ".pb" or ".npy", as they were found.
  std::string extension = ".pb";
};

absl::StatusOr<Inputs> ReadInputs(const std::string& folder, size_t count) {
  Inputs inputs;
  for (size_t i = 0; i < count; ++i) {
    const std::string stem = absl::StrCat(folder, "/input_", i);
    std::error_code error;
    const bool npy = fs::exists(stem + ".npy", error);
    inputs.extension = npy ? ".npy" : ".pb";
    const std::string path = stem + inputs.extension;
    if (!fs::exists(path, error)) {
      return MakeError(
          absl::StatusCode::kNotFound, "FILE_NOT_FOUND",
          absl::StrCat("the model has ", count, " inputs; there is no ", stem,
                       ".pb and no ", stem, ".npy"));
    }
    CONDENSE_ASSIGN_OR_RETURN(graph::Tensor tensor,
                              onnx_import::ReadTensorFile(path));
    inputs.tensors.push_back(std::move(tensor));
  }
  return inputs;
}

// The tensor fits the model's input.
absl::Status CheckInput(const graph::Value& input,
                        const graph::Tensor& tensor) {
  bool fits =
      input.dtype == graph::DType::kUndefined || input.dtype == tensor.dtype();
  if (fits && input.shape) {
    fits = input.shape->size() == tensor.dims().size();
    for (size_t i = 0; fits && i < input.shape->size(); ++i) {
      const graph::Dim& dim = (*input.shape)[i];
      fits = !dim.known() || dim.value == tensor.dims()[i];
    }
  }
  if (fits) return absl::OkStatus();
  graph::Shape given(tensor.dims().begin(), tensor.dims().end());
  return MakeError(
      absl::StatusCode::kInvalidArgument, "DATA_SHAPE_MISMATCH",
      absl::StrCat(
          "input '", input.name, "' is ", graph::DTypeName(input.dtype), " ",
          graph::ShapeText(input.shape), "; the file has ",
          graph::DTypeName(tensor.dtype()), " ", graph::ShapeText(given)));
}

}  // namespace

absl::Status Infer(const std::string& model, const std::string& device,
                   int threads, const InferOptions& options) {
  CONDENSE_ASSIGN_OR_RETURN(const graph::Graph graph,
                            onnx_import::ImportOnnxFile(model));
  CONDENSE_ASSIGN_OR_RETURN(
      const Inputs inputs,
      ReadInputs(options.input_dir, graph.inputs().size()));
  runtime::ExecutorOptions executor_options;
  CONDENSE_ASSIGN_OR_RETURN(executor_options.device,
                            runtime::ResolveDevice(device));
  runtime::SetThreads(threads);
  CONDENSE_ASSIGN_OR_RETURN(auto executor,
                            runtime::Executor::Create(graph, executor_options));
  std::vector<torch::Tensor> tensors;
  for (size_t i = 0; i < inputs.tensors.size(); ++i) {
    CONDENSE_RETURN_IF_ERROR(
        CheckInput(graph.value(graph.inputs()[i]), inputs.tensors[i]));
    CONDENSE_ASSIGN_OR_RETURN(torch::Tensor tensor,
                              runtime::ToTorch(inputs.tensors[i]));
    tensors.push_back(tensor.to(executor->device()));
  }
  const torch::NoGradGuard no_grad;
  CONDENSE_ASSIGN_OR_RETURN(const std::vector<torch::Tensor> outputs,
                            executor->Run(tensors));
  CONDENSE_RETURN_IF_ERROR(MakeWritableFolder(options.output_dir));
  for (size_t i = 0; i < outputs.size(); ++i) {
    const graph::Tensor tensor = runtime::FromTorch(outputs[i]);
    const std::string name = graph.value(graph.outputs()[i]).name;
    std::string bytes = onnx_export::TensorProtoBytes(tensor, name);
    if (inputs.extension == ".npy") {
      CONDENSE_ASSIGN_OR_RETURN(bytes, onnx_export::NpyBytes(tensor));
    }
    CONDENSE_RETURN_IF_ERROR(WriteFileAtomically(
        absl::StrCat(options.output_dir, "/output_", i, inputs.extension),
        bytes));
  }
  return absl::OkStatus();
}

absl::Status Convert(const std::string& model, const ConvertOptions& options) {
  if (options.to != "onnx") {
    return MakeError(
        absl::StatusCode::kUnimplemented, "UNSUPPORTED_FORMAT",
        absl::StrCat("cannot write '", options.to, "' files"),
        {.field = "--to", .nearest = "onnx", .hint = "onnx is written"});
  }
  CONDENSE_ASSIGN_OR_RETURN(const graph::Graph graph,
                            onnx_import::ImportOnnxFile(model));
  CONDENSE_ASSIGN_OR_RETURN(const std::string bytes,
                            onnx_export::ExportOnnx(graph));
  // What was written must read back to the same computation.
  CONDENSE_ASSIGN_OR_RETURN(const graph::Graph again,
                            onnx_import::ImportOnnx(bytes));
  const graph::Cost before = graph::CostOf(graph), after = graph::CostOf(again);
  if (before.macs != after.macs || before.parameters != after.parameters) {
    return MakeError(absl::StatusCode::kInternal, "FILE_MISMATCH",
                     "the exported file reads back as another model");
  }
  CONDENSE_RETURN_IF_ERROR(WriteFileAtomically(options.out, bytes));
  std::printf("%s: %zu nodes, %zu bytes\n", options.out.c_str(),
              graph.order().size(), bytes.size());
  return absl::OkStatus();
}

}  // namespace condense::pipeline
