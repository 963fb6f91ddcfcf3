#include "workers/engine/export/onnx.h"

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "onnx/onnx_pb.h"
#include "workers/engine/export/onnx_tensor.h"

namespace condense::onnx_export {
namespace {

using graph::Graph;
using graph::kNoValue;
using graph::Node;

// The IR version that ONNX 1.8 to 1.13 wrote: read by every runtime since.
constexpr int kIrVersion = 8;

void SetAttribute(const graph::Attribute& value, onnx::AttributeProto* out) {
  struct Setter {
    onnx::AttributeProto* out;
    void operator()(int64_t v) {
      out->set_type(onnx::AttributeProto::INT);
      out->set_i(v);
    }
    void operator()(float v) {
      out->set_type(onnx::AttributeProto::FLOAT);
      out->set_f(v);
    }
    void operator()(const std::string& v) {
      out->set_type(onnx::AttributeProto::STRING);
      out->set_s(v);
    }
    void operator()(const graph::Tensor& v) {
      out->set_type(onnx::AttributeProto::TENSOR);
      *out->mutable_t() = TensorToProto(v, "");
    }
    void operator()(const std::vector<int64_t>& v) {
      out->set_type(onnx::AttributeProto::INTS);
      for (int64_t i : v) out->add_ints(i);
    }
    void operator()(const std::vector<float>& v) {
      out->set_type(onnx::AttributeProto::FLOATS);
      for (float f : v) out->add_floats(f);
    }
    void operator()(const std::vector<std::string>& v) {
      out->set_type(onnx::AttributeProto::STRINGS);
      for (const std::string& s : v) out->add_strings(s);
    }
    void operator()(const std::shared_ptr<const Graph>&) {}
  };
  std::visit(Setter{out}, value);
}

void FillType(const graph::Value& value, onnx::ValueInfoProto* info) {
  info->set_name(value.name);
  auto* type = info->mutable_type()->mutable_tensor_type();
  type->set_elem_type(OnnxDType(value.dtype));
  if (!value.shape.has_value()) return;
  auto* shape = type->mutable_shape();
  for (const graph::Dim& dim : *value.shape) {
    auto* out = shape->add_dim();
    if (dim.known()) {
      out->set_dim_value(dim.value);
    } else if (!dim.symbol.empty()) {
      out->set_dim_param(dim.symbol);
    }
  }
}

absl::Status FillNode(const Graph& graph, const Node& node,
                      const ExportOptions& options, onnx::NodeProto* out) {
  if (!node.domain.empty() && !options.raw) {
    return MakeError(
        absl::StatusCode::kInternal, "CANNOT_EXPORT",
        absl::StrCat("no ONNX operator for ", node.domain, "::", node.op),
        {.node = node.name});
  }
  out->set_name(node.name);
  out->set_op_type(node.op);
  out->set_domain(node.domain);
  auto name = [&](graph::ValueId id) {
    return id == kNoValue ? std::string() : graph.value(id).name;
  };
  for (graph::ValueId id : node.inputs) out->add_input(name(id));
  for (graph::ValueId id : node.outputs) out->add_output(name(id));
  for (const auto& [key, value] : node.attrs) {
    auto* attribute = out->add_attribute();
    attribute->set_name(key);
    if (node.Is("Cast") && key == "to") {
      attribute->set_type(onnx::AttributeProto::INT);
      attribute->set_i(OnnxDType(graph::DTypeFromName(node.String("to", ""))));
    } else {
      SetAttribute(value, attribute);
    }
  }
  return absl::OkStatus();
}

// Protobuf orders maps by hash unless it is told not to; ONNX has no maps, so
// only unknown fields could differ, and there are none.
absl::StatusOr<std::string> Serialize(const onnx::ModelProto& model) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    if (!model.SerializeToCodedStream(&coded)) {
      return MakeError(absl::StatusCode::kResourceExhausted, "MODEL_TOO_LARGE",
                       "the model is larger than 2 GiB");
    }
  }
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> ExportOnnx(const Graph& graph,
                                       const ExportOptions& options) {
  if (options.opset < 13 || options.opset > Graph::kOpset) {
    return MakeError(
        absl::StatusCode::kUnimplemented, "UNSUPPORTED_OPSET",
        absl::StrCat("opset ", options.opset, " is not written; 13 to 17 are"));
  }
  onnx::ModelProto model;
  model.set_ir_version(kIrVersion);
  model.set_producer_name("condense");
  model.set_doc_string(graph.doc);
  auto* opset = model.add_opset_import();
  opset->set_domain("");
  opset->set_version(options.opset);
  if (options.raw) {
    auto* ours = model.add_opset_import();
    ours->set_domain("condense");
    ours->set_version(1);
  }
  for (const auto& [key, value] : graph.metadata) {
    auto* property = model.add_metadata_props();
    property->set_key(key);
    property->set_value(value);
  }
  onnx::GraphProto* out = model.mutable_graph();
  out->set_name(graph.name.empty() ? "model" : graph.name);
  for (graph::ValueId id : graph.inputs()) {
    FillType(graph.value(id), out->add_input());
  }
  for (graph::ValueId id : graph.values()) {
    if (!graph.IsConstant(id)) continue;
    *out->add_initializer() =
        TensorToProto(*graph.ConstantOf(id), graph.value(id).name);
  }
  for (graph::NodeId id : graph.order()) {
    CONDENSE_RETURN_IF_ERROR(
        FillNode(graph, graph.node(id), options, out->add_node()));
  }
  for (graph::ValueId id : graph.outputs()) {
    FillType(graph.value(id), out->add_output());
  }
  return Serialize(model);
}

}  // namespace condense::onnx_export
