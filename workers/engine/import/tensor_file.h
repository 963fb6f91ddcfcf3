#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_TENSOR_FILE_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_TENSOR_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "workers/engine/graph/tensor.h"

namespace condense::onnx_import {

// Reads one tensor from a file: an ONNX TensorProto (`.pb`) or a NumPy array
// (`.npy`, format 1.0 to 3.0, C order, little endian). INVALID_ARGUMENT with
// reason BAD_TENSOR_FILE for anything else.
absl::StatusOr<graph::Tensor> ReadTensorFile(const std::string& path);

// The same from bytes.
absl::StatusOr<graph::Tensor> ParseTensorProto(absl::string_view bytes);
absl::StatusOr<graph::Tensor> ParseNpy(absl::string_view bytes);

}  // namespace condense::onnx_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_TENSOR_FILE_H_
