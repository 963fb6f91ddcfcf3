// condense-engine infer and convert.

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/export/tensor_file.h"
#include "workers/engine/export/torchscript/exporter.h"
#include "workers/engine/graph/convert_floats.h"
#include "workers/engine/graph/declared_types.h"
#include "workers/engine/import/tensor_file.h"
#include "workers/engine/pipeline/commands.h"
#include "workers/engine/pipeline/load_model.h"
#include "workers/engine/runtime/dtype.h"
#include "workers/engine/runtime/executor.h"

namespace condense::pipeline {
namespace {

namespace fs = std::filesystem;

struct Inputs {
  std::vector<graph::Tensor> tensors;
  // ".pb" or ".npy", as they were found.
  std::string extension = ".pb";
};

// input_0, input_1, ... as far as there are files.
absl::StatusOr<Inputs> ReadInputs(const std::string& folder) {
  Inputs inputs;
  for (size_t i = 0;; ++i) {
    const std::string stem = absl::StrCat(folder, "/input_", i);
    std::error_code error;
    const bool npy = fs::exists(stem + ".npy", error);
    if (!npy && !fs::exists(stem + ".pb", error)) return inputs;
    inputs.extension = npy ? ".npy" : ".pb";
    CONDENSE_ASSIGN_OR_RETURN(
        graph::Tensor tensor,
        onnx_import::ReadTensorFile(stem + inputs.extension));
    inputs.tensors.push_back(std::move(tensor));
  }
}

absl::Status CheckCount(const Inputs& inputs, size_t count,
                        const std::string& folder) {
  if (inputs.tensors.size() >= count) return absl::OkStatus();
  const std::string stem =
      absl::StrCat(folder, "/input_", inputs.tensors.size());
  return MakeError(
      absl::StatusCode::kNotFound, "FILE_NOT_FOUND",
      absl::StrCat("the model has ", count, " inputs; there is no ", stem,
                   ".pb and no ", stem, ".npy"));
}

// The tensor fits the model's input.
absl::Status CheckInput(const graph::Value& input,
                        const graph::Tensor& tensor) {
  // Any floating type is converted.
  bool fits =
      input.dtype == graph::DType::kUndefined ||
      input.dtype == tensor.dtype() ||
      (graph::IsFloating(input.dtype) && graph::IsFloating(tensor.dtype()));
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
  CONDENSE_ASSIGN_OR_RETURN(const Inputs inputs, ReadInputs(options.input_dir));
  LoadOptions load;
  for (const graph::Tensor& tensor : inputs.tensors) {
    load.input_shapes.push_back(
        graph::Shape(tensor.dims().begin(), tensor.dims().end()));
    load.input_dtypes.push_back(tensor.dtype());
  }
  CONDENSE_ASSIGN_OR_RETURN(const graph::Graph graph, LoadModel(model, load));
  CONDENSE_RETURN_IF_ERROR(
      CheckCount(inputs, graph.inputs().size(), options.input_dir));
  runtime::ExecutorOptions executor_options;
  CONDENSE_ASSIGN_OR_RETURN(executor_options.device,
                            runtime::ResolveDevice(device));
  runtime::SetThreads(threads);
  CONDENSE_ASSIGN_OR_RETURN(auto executor,
                            runtime::Executor::Create(graph, executor_options));
  std::vector<torch::Tensor> tensors;
  for (size_t i = 0; i < graph.inputs().size(); ++i) {
    CONDENSE_RETURN_IF_ERROR(
        CheckInput(graph.value(graph.inputs()[i]), inputs.tensors[i]));
    graph::Tensor given = inputs.tensors[i];
    if (graph::IsFloating(given.dtype())) {
      given = graph::ConvertFloats(given, graph::DType::kFloat32);
    }
    CONDENSE_ASSIGN_OR_RETURN(torch::Tensor tensor, runtime::ToTorch(given));
    tensors.push_back(tensor.to(executor->device()));
  }
  const torch::NoGradGuard no_grad;
  CONDENSE_ASSIGN_OR_RETURN(const std::vector<torch::Tensor> outputs,
                            executor->Run(tensors));
  CONDENSE_RETURN_IF_ERROR(MakeWritableFolder(options.output_dir));
  for (size_t i = 0; i < outputs.size(); ++i) {
    const graph::Value& output = graph.value(graph.outputs()[i]);
    graph::Tensor tensor = runtime::FromTorch(outputs[i], output.dtype);
    if (graph::IsFloating(output.dtype)) {
      tensor = graph::ConvertFloats(
          tensor, graph::DeclaredType(graph, graph.outputs()[i]));
    }
    const std::string& name = output.name;
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

namespace {

// Height and width of images where a size must be fixed and nobody said which.
constexpr int kFixedSize = 32;

absl::Status Write(const graph::Graph& graph, const ConvertOptions& options) {
  if (options.to == "onnx") {
    onnx_export::FileOptions file;
    file.model.opset = options.opset;
    file.model.weights = graph::DTypeFromName(options.weights);
    file.model.sparse = options.sparse;
    file.external_data = options.external_data;
    return onnx_export::ExportOnnxFile(graph, options.out, file);
  }
  CONDENSE_ASSIGN_OR_RETURN(const std::string bytes,
                            torchscript_export::ExportTorchScript(graph));
  return WriteFileAtomically(options.out, bytes);
}

absl::StatusOr<graph::Graph> ReadBack(const graph::Graph& graph,
                                      const ConvertOptions& options) {
  LoadOptions load;
  for (graph::ValueId id : graph.inputs()) {
    load.input_shapes.push_back(graph.value(id).shape);
    load.input_dtypes.push_back(graph.value(id).dtype);
  }
  return LoadModel(options.out, load);
}

// Numbers that any embedding table and any network takes.
std::vector<torch::Tensor> SampleInputs(const graph::Graph& graph) {
  constexpr int64_t kOpenBatch = 2, kOpenSize = 64;
  std::vector<torch::Tensor> inputs;
  auto generator = at::detail::createCPUGenerator(17);
  for (graph::ValueId id : graph.inputs()) {
    const graph::Value& value = graph.value(id);
    std::vector<int64_t> dims;
    for (const graph::Dim& dim : value.shape.value_or(graph::Shape{})) {
      dims.push_back(dim.known()    ? dim.value
                     : dims.empty() ? kOpenBatch
                                    : kOpenSize);
    }
    const auto type =
        runtime::ScalarTypeOf(value.dtype).value_or(torch::kFloat32);
    inputs.push_back(graph::IsFloating(value.dtype)
                         ? torch::rand(dims, generator).to(type)
                         : torch::ones(dims, type));
  }
  return inputs;
}

// What was written must compute what was read.
absl::Status Compare(const graph::Graph& graph, const graph::Graph& again,
                     double tolerance) {
  const std::vector<torch::Tensor> inputs = SampleInputs(graph);
  std::vector<std::vector<torch::Tensor>> outputs;
  const torch::NoGradGuard no_grad;
  for (const graph::Graph* model : {&graph, &again}) {
    CONDENSE_ASSIGN_OR_RETURN(auto executor, runtime::Executor::Create(*model));
    CONDENSE_ASSIGN_OR_RETURN(auto result, executor->Run(inputs));
    outputs.push_back(std::move(result));
  }
  bool same = outputs[0].size() == outputs[1].size();
  for (size_t i = 0; same && i < outputs[0].size(); ++i) {
    const torch::Tensor &a = outputs[0][i], &b = outputs[1][i];
    same = a.sizes() == b.sizes();
    if (!same || a.numel() == 0) continue;
    const torch::Tensor x = a.to(torch::kFloat64), y = b.to(torch::kFloat64);
    const double top = std::max(1e-6, x.abs().max().item<double>());
    same = (x - y).abs().max().item<double>() <= tolerance * top;
  }
  if (same) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInternal, "FILE_MISMATCH",
                   "the written file computes something else than the model");
}

absl::Status CheckOptions(const ConvertOptions& options) {
  if (options.to != "onnx" && options.to != "torchscript") {
    return MakeError(absl::StatusCode::kInvalidArgument, "UNSUPPORTED_FORMAT",
                     absl::StrCat("cannot write '", options.to, "' files"),
                     {.field = "--to",
                      .nearest = options.to == "pt" ? "torchscript" : "onnx",
                      .hint = "onnx and torchscript are written"});
  }
  const std::vector<std::string> types = {"float32", "float16", "bfloat16"};
  if (std::find(types.begin(), types.end(), options.weights) == types.end()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "UNSUPPORTED_TYPE",
                     absl::StrCat("weights cannot be '", options.weights, "'"),
                     {.field = "--weights",
                      .nearest = NearestName(options.weights, types),
                      .hint = "float32, float16 and bfloat16 are written"});
  }
  const bool plain =
      options.weights == "float32" && !options.sparse && !options.external_data;
  if (options.to == "onnx" || plain) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "UNSUPPORTED_FORMAT",
                   "TorchScript files have float32 weights, dense and inside",
                   {.hint = "--to onnx, or without --weights, --sparse and "
                            "--external-data"});
}

// How far weights of these types move the outputs, of the greatest.
double ToleranceOf(const std::string& weights) {
  if (weights == "float16") return 1e-2;
  return weights == "bfloat16" ? 1e-1 : 1e-4;
}

// Reads the file again; one that computes something else is removed.
absl::Status Check(const graph::Graph& graph, const ConvertOptions& options) {
  absl::StatusOr<graph::Graph> again = ReadBack(graph, options);
  absl::Status same = again.ok()
                          ? Compare(graph, *again, ToleranceOf(options.weights))
                          : again.status();
  if (!same.ok()) {
    std::error_code error;
    fs::remove(options.out, error);
    if (options.to == "onnx") fs::remove(options.out + ".data", error);
  }
  return same;
}

}  // namespace

absl::Status Convert(const std::string& model, const ConvertOptions& options) {
  CONDENSE_RETURN_IF_ERROR(CheckOptions(options));
  CONDENSE_ASSIGN_OR_RETURN(graph::Graph graph,
                            LoadModelWith(model, options.model));
  absl::Status written = Write(graph, options);
  if (ErrorReason(written) == "DATA_DEPENDENT_SHAPE" &&
      options.model.input_shape.empty()) {
    // The file leaves the image's size open, the program cannot.
    LoadOptions fixed;
    fixed.image_size = {kFixedSize, kFixedSize};
    CONDENSE_ASSIGN_OR_RETURN(graph, LoadModel(model, fixed));
    written = Write(graph, options);
    std::fprintf(stderr,
                 "note: the image size is fixed to %d x %d; --input-shape "
                 "gives another\n",
                 kFixedSize, kFixedSize);
  }
  CONDENSE_RETURN_IF_ERROR(written);
  CONDENSE_RETURN_IF_ERROR(Check(graph, options));
  std::error_code error;
  std::printf("%s: %zu nodes, %zu bytes\n", options.out.c_str(),
              graph.order().size(),
              static_cast<size_t>(fs::file_size(options.out, error)));
  return absl::OkStatus();
}

}  // namespace condense::pipeline
