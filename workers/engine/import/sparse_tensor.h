#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_SPARSE_TENSOR_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_SPARSE_TENSOR_H_

// Private to this room: ONNX's protos do not leave it.

#include "absl/status/statusor.h"
#include "onnx/onnx_pb.h"
#include "workers/engine/graph/tensor.h"
#include "workers/engine/import/external_data.h"

namespace condense::onnx_import {

// A SparseTensorProto (values at coordinates, zero elsewhere) as a dense
// tensor. Indices are [n] positions in the row-major tensor, or [n, rank]
// coordinates, in ascending order. Values and indices may be external;
// `external` may be null. INVALID_ARGUMENT with reason BAD_TENSOR: indices out
// of range or order, more than 2 GiB when dense, strings or 4-bit values; and
// what TensorFromProto has.
absl::StatusOr<graph::Tensor> TensorFromSparse(onnx::SparseTensorProto proto,
                                               ExternalData* external);

}  // namespace condense::onnx_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_SPARSE_TENSOR_H_
