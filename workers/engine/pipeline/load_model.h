#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_LOAD_MODEL_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_LOAD_MODEL_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/pipeline/commands.h"

namespace condense::pipeline {

// What TorchScript files do not say about their inputs; ONNX files say it.
struct LoadOptions {
  // In order; missing ones are derived from the operators that read the input.
  std::vector<std::optional<graph::Shape>> input_shapes;
  std::vector<graph::DType> input_dtypes;
  // Height and width of images, where only rank and channels can be derived.
  std::vector<int64_t> image_size;
  // Quantizers of an ONNX file as condense::FakeQuantize (see
  // onnx_import::ImportOptions).
  bool lift_quantizers = false;
};

// Reads an ONNX or TorchScript file, whichever its first bytes say, and
// evaluates what only depends on constants. ONNX may have external data beside
// the file. Errors as ImportOnnx and ImportTorchScript have them.
absl::StatusOr<graph::Graph> LoadModel(const std::string& path,
                                       const LoadOptions& options = {});

// The same with what a command line says.
absl::StatusOr<graph::Graph> LoadModelWith(const std::string& path,
                                           const ModelOptions& options);

// "1x3x32x32" or "Nx3x32x32"; the first size is the batch, whatever it is.
// INVALID_ARGUMENT with reason BAD_SHAPE.
absl::StatusOr<graph::Shape> ParseShape(const std::string& text);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_LOAD_MODEL_H_
