#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_ONNX_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_ONNX_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "workers/engine/graph/graph.h"

namespace condense::onnx_import {

struct ImportOptions {
  // Where external data may lie; empty: nowhere.
  std::string folder;
  // Only parse: keep every node as the file has it, with nodes of the domain
  // "condense". For files that ExportOnnx wrote with `raw`.
  bool raw = false;
  // Quantizers of the file as condense::FakeQuantize: the float simulation of a
  // quantized model, which can be trained. Off: the file's own integers.
  bool lift_quantizers = false;
};

// Reads an ONNX model of opset 1 to 23 into a graph with the semantics of
// Graph::kOpset, simplified: a fixed batch of 1 becomes the symbol N, shape
// arithmetic is folded, identities are gone, shapes are inferred. Sparse
// initializers become dense, initializers that are also inputs (IR version 3,
// or defaults) constants.
//
// Models of float16, bfloat16 or float64 are widened or narrowed to float32:
// weights, arithmetic, inputs and outputs. The types that the file declares for
// its inputs and outputs are noted (graph/declared_types.h), and ExportOnnx
// gives them back.
//
// Errors (INVALID_ARGUMENT): NOT_A_MODEL, MODEL_TOO_LARGE (over 2 GiB in one
// file), UNSUPPORTED_OPSET, UNSUPPORTED_OPERATOR (all of them at once, with
// node names), BAD_TENSOR, BAD_EXTERNAL_DATA, BAD_GRAPH, SHAPE_MISMATCH.
absl::StatusOr<graph::Graph> ImportOnnx(absl::string_view bytes,
                                        const ImportOptions& options = {});

// The same from a file; external data may lie in its folder.
absl::StatusOr<graph::Graph> ImportOnnxFile(const std::string& path);

}  // namespace condense::onnx_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_ONNX_H_
