#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_ONNX_ATTRIBUTE_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_ONNX_ATTRIBUTE_H_

// Private to this room: ONNX's protos do not leave it.

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "onnx/onnx_pb.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/import/external_data.h"

namespace condense::onnx_import {

// The attributes of a node, but for subgraphs. Types are written by name
// ("float32"), sparse tensors dense. Takes the bytes of tensors out of `proto`.
// Errors as TensorFromProto and TensorFromSparse have them;
// UNSUPPORTED_ATTRIBUTE for kinds that the graph lacks.
absl::StatusOr<std::map<std::string, graph::Attribute>> AttributesFromProto(
    onnx::NodeProto* proto, ExternalData* external);

// The value of a Constant node. BAD_GRAPH if it has none, or several.
absl::StatusOr<graph::Tensor> ConstantFromAttributes(
    const std::map<std::string, graph::Attribute>& attrs);

}  // namespace condense::onnx_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_ONNX_ATTRIBUTE_H_
