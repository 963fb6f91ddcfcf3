#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_TORCHSCRIPT_IMPORTER_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_TORCHSCRIPT_IMPORTER_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "workers/engine/graph/graph.h"

namespace condense::torchscript_import {

struct ImportOptions {
  // Of the inputs of forward(), in order; the first dimension is taken as the
  // batch, the symbol N. Missing ones are derived from the operators that read
  // the input: the rank and the channels, where that is possible.
  std::vector<std::optional<graph::Shape>> input_shapes;
  std::vector<graph::DType> input_dtypes;
  // Height and width for inputs of rank 4 whose sizes are not known otherwise.
  std::vector<int64_t> image_size;
};

// Where nobody says how large an image is, sizes stay open if the model runs
// with several; if not, it gets the one that it runs with.
//
// Reads a TorchScript archive (torch.jit.save; traced or scripted) into a graph
// with ONNX semantics at Graph::kOpset, simplified. Parameters keep their paths
// ("layer1.0.conv1.weight"). What does not depend on the inputs' elements is
// evaluated: control flow on constants and shapes is resolved. Half and double
// precision become float32, as ImportOnnx has it. Errors
// (INVALID_ARGUMENT): NOT_A_MODEL with LibTorch's reason, UNSUPPORTED_OPERATOR,
// DATA_DEPENDENT_CONTROL_FLOW, UNKNOWN_INPUT_SHAPE,
// SHAPE_MISMATCH, UNSAFE_OPERATOR; and those of CheckArchive and InTrial: a
// file of a stranger is looked over first, then read in a child process, and
// only when that went well in this one.
absl::StatusOr<graph::Graph> ImportTorchScript(
    absl::string_view bytes, const ImportOptions& options = {});

}  // namespace condense::torchscript_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_TORCHSCRIPT_IMPORTER_H_
