#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_COMMANDS_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_COMMANDS_H_

#include <string>

#include "absl/status/status.h"

namespace condense::pipeline {

// The engine's small tools. Each prints its result to stdout. `device` is
// "cpu", "cuda:N" or "auto"; `threads` 0 means one per core.

// The shapes of a TorchScript model's inputs in their order, "Nx3x32x32,Nx8",
// where its program does not tell; those that are missing are derived.
struct ModelOptions {
  std::string input_shape;
};

struct InferOptions {
  std::string input_dir;
  std::string output_dir;
};
// Runs MODEL once on input_0.pb, input_1.pb, ... (ONNX TensorProto) or .npy
// files, in the order of the model's inputs, and writes output_0.pb, ... in the
// form that the inputs had.
absl::Status Infer(const std::string& model, const std::string& device,
                   int threads, const InferOptions& options);

struct BenchOptions {
  std::string mode = "infer";
  int batch = 1;
  int steps = 50;
  bool json = false;
  ModelOptions model;
};
// Times forward passes, or SGD steps (cross-entropy for [N, C] outputs, mean
// of the outputs otherwise), on random inputs; "qat" with simulated int8.
absl::Status Bench(const std::string& model, const std::string& device,
                   int threads, const BenchOptions& options);

struct ConvertOptions {
  // "onnx" or "torchscript".
  std::string to;
  std::string out;
  // ONNX only: 13 to 21.
  int opset = 17;
  // ONNX only: how weights are stored ("float32", "float16" or "bfloat16"),
  // whether mostly zero ones are sparse, and whether they lie in OUT.data.
  std::string weights = "float32";
  bool sparse = false;
  bool external_data = false;
  ModelOptions model;
};
// Writes the model in another format, reads it back and compares the outputs of
// both on random inputs (1e-4 of the greatest, more with shorter weights):
// FILE_MISMATCH if they differ, and no file is left.
absl::Status Convert(const std::string& model, const ConvertOptions& options);

struct AnalyzeOptions {
  bool json = false;
  // The graph's text form (graph/text.h) instead.
  bool text = false;
  // Every layer, also on a terminal that is too small.
  bool all = false;
  // bytes, macs, activations, time or order.
  std::string sort = "bytes";
  // A built-in profile's id or a file; empty: onnxruntime-cpu-x86-vnni.
  std::string profile;
  ModelOptions model;
};
// What is in a model, where its bytes and its time are, what can be pruned and
// quantized on the profile and what cannot, and why (analysis_text.h).
absl::Status Analyze(const std::string& model, const AnalyzeOptions& options);

// Picks the device and does what is slow the first time (thread pool, first
// convolution), so that a warm engine starts its job at once.
void WarmUp(const std::string& device, int threads);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_COMMANDS_H_
