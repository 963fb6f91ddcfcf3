#include "workers/engine/pipeline/load_model.h"

#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "workers/engine/graph/passes/simplify.h"
#include "workers/engine/import/archive_check.h"
#include "workers/engine/import/onnx.h"
#include "workers/engine/import/torchscript/importer.h"
#include "workers/engine/runtime/fold.h"

namespace condense::pipeline {
namespace {

// Branches in branches.
constexpr int kFoldRoundsMax = 16;

absl::StatusOr<graph::Graph> Import(const std::string& path,
                                    const LoadOptions& options) {
  CONDENSE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  if (torchscript_import::IsArchive(bytes)) {
    return torchscript_import::ImportTorchScript(
        bytes,
        {options.input_shapes, options.input_dtypes, options.image_size});
  }
  onnx_import::ImportOptions onnx;
  const std::string parent = std::filesystem::path(path).parent_path().string();
  onnx.folder = parent.empty() ? std::string(1, '.') : parent;
  onnx.lift_quantizers = options.lift_quantizers;
  return onnx_import::ImportOnnx(bytes, onnx);
}

}  // namespace

absl::StatusOr<graph::Graph> LoadModel(const std::string& path,
                                       const LoadOptions& options) {
  CONDENSE_ASSIGN_OR_RETURN(graph::Graph graph, Import(path, options));
  // Conditions that fold open branches, in which more folds.
  for (int round = 0; round < kFoldRoundsMax; ++round) {
    CONDENSE_ASSIGN_OR_RETURN(const bool folded, runtime::FoldNodes(&graph));
    if (!folded) break;
    CONDENSE_RETURN_IF_ERROR(graph::Simplify(graph));
  }
  return graph;
}

absl::StatusOr<graph::Graph> LoadModelWith(const std::string& path,
                                           const ModelOptions& options) {
  LoadOptions load;
  for (const auto& text :
       absl::StrSplit(options.input_shape, ',', absl::SkipEmpty())) {
    CONDENSE_ASSIGN_OR_RETURN(graph::Shape shape,
                              ParseShape(std::string(text)));
    load.input_shapes.push_back(std::move(shape));
  }
  return LoadModel(path, load);
}

absl::StatusOr<graph::Shape> ParseShape(const std::string& text) {
  graph::Shape shape = {graph::Dim::Symbol("N")};
  const std::vector<std::string> parts = absl::StrSplit(text, 'x');
  bool good = parts.size() > 1;
  for (size_t i = 0; i < parts.size(); ++i) {
    int64_t size = 0;
    const bool number = absl::SimpleAtoi(parts[i], &size) && size > 0;
    good &= number || (i == 0 && parts[i] == "N");
    if (i > 0) shape.push_back(size);
  }
  if (good) return shape;
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_SHAPE",
                   absl::StrCat("'", text, "' is no shape"),
                   {.hint = "write it like Nx3x32x32"});
}

}  // namespace condense::pipeline
