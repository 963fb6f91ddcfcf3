#include "workers/engine/export/onnx.h"

#include <filesystem>
#include <map>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "onnx/onnx_pb.h"
#include "workers/engine/export/edge_types.h"
#include "workers/engine/export/initializers.h"
#include "workers/engine/export/lower.h"
#include "workers/engine/export/onnx_tensor.h"

namespace condense::onnx_export {
namespace {

using graph::Graph;
using graph::kNoValue;
using graph::Node;

// The IR version that ONNX itself writes with an opset.
int IrVersion(int opset) {
  if (opset >= 21) return 10;
  return opset >= 19 ? 9 : 8;
}

// How a body names what it reads from outside.
using OuterNames = std::map<graph::ValueId, std::string>;

// What all graphs of a file share.
struct Context {
  const ExportOptions& options;
  InitializerWriter& initializers;
};

absl::Status FillGraph(const Graph& graph, Context& context,
                       const OuterNames& outer, const std::string& prefix,
                       onnx::GraphProto* out);

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

// Attributes that the graph writes as the name of a type, ONNX as a number.
bool NamesType(const Node& node, const std::string& key) {
  return (node.Is("Cast") && key == "to") || key == "output_datatype" ||
         (node.Is("QuantizeLinear") && key == "output_dtype") ||
         (node.Is("EyeLike") && key == "dtype");
}

// The names of a graph's values in the file. Those of bodies are made unique
// by a prefix, because a file has one name space.
std::string NameIn(const Graph& graph, graph::ValueId id,
                   const OuterNames& outer, const std::string& prefix) {
  if (id == kNoValue) return "";
  auto it = outer.find(id);
  return it != outer.end() ? it->second : prefix + graph.value(id).name;
}

// A body of If, Loop or Scan: its captured inputs become names of the graph
// around it.
absl::Status FillBody(const Graph& graph, const Node& node, const Graph& body,
                      Context& context, const OuterNames& outer,
                      const std::string& prefix, onnx::AttributeProto* out) {
  const size_t captures = node.Int("captures", 0);
  OuterNames names;
  for (size_t i = 0; i < captures; ++i) {
    names[body.inputs()[body.inputs().size() - captures + i]] = NameIn(
        graph, node.inputs[node.inputs.size() - captures + i], outer, prefix);
  }
  out->set_type(onnx::AttributeProto::GRAPH);
  return FillGraph(body, context, names,
                   absl::StrCat(prefix, node.name, "/", out->name(), "/"),
                   out->mutable_g());
}

absl::Status FillNode(const Graph& graph, const Node& node, Context& context,
                      const OuterNames& outer, const std::string& prefix,
                      onnx::NodeProto* out) {
  if (!node.domain.empty() && !context.options.raw) {
    return MakeError(
        absl::StatusCode::kInternal, "CANNOT_EXPORT",
        absl::StrCat("no ONNX operator for ", node.domain, "::", node.op),
        {.node = node.name});
  }
  out->set_name(prefix + node.name);
  out->set_op_type(node.op);
  out->set_domain(node.domain);
  // Captured values are read by name, not by the node.
  const size_t captures = node.Int("captures", 0);
  for (size_t i = 0; i + captures < node.inputs.size(); ++i) {
    out->add_input(NameIn(graph, node.inputs[i], outer, prefix));
  }
  for (graph::ValueId id : node.outputs) {
    out->add_output(NameIn(graph, id, outer, prefix));
  }
  for (const auto& [key, value] : node.attrs) {
    if (key == "captures") continue;
    auto* attribute = out->add_attribute();
    attribute->set_name(key);
    if (const auto* body = std::get_if<std::shared_ptr<const Graph>>(&value)) {
      CONDENSE_RETURN_IF_ERROR(
          FillBody(graph, node, **body, context, outer, prefix, attribute));
    } else if (NamesType(node, key)) {
      attribute->set_type(onnx::AttributeProto::INT);
      attribute->set_i(OnnxDType(graph::DTypeFromName(node.String(key, ""))));
    } else {
      SetAttribute(value, attribute);
    }
  }
  return absl::OkStatus();
}

absl::Status FillGraph(const Graph& graph, Context& context,
                       const OuterNames& outer, const std::string& prefix,
                       onnx::GraphProto* out) {
  out->set_name(graph.name.empty() ? "model" : graph.name);
  for (graph::ValueId id : graph.inputs()) {
    if (outer.count(id) > 0) continue;
    FillType(graph.value(id), out->add_input());
    out->mutable_input(out->input_size() - 1)
        ->set_name(NameIn(graph, id, outer, prefix));
  }
  for (graph::ValueId id : graph.values()) {
    if (!graph.IsConstant(id)) continue;
    context.initializers.Add(*graph.ConstantOf(id),
                             NameIn(graph, id, outer, prefix), out);
  }
  for (graph::NodeId id : graph.order()) {
    CONDENSE_RETURN_IF_ERROR(FillNode(graph, graph.node(id), context, outer,
                                      prefix, out->add_node()));
  }
  for (graph::ValueId id : graph.outputs()) {
    FillType(graph.value(id), out->add_output());
    out->mutable_output(out->output_size() - 1)
        ->set_name(NameIn(graph, id, outer, prefix));
  }
  return absl::OkStatus();
}

// What one message of Protocol Buffers can have.
constexpr int64_t kMessageBytesMax = (int64_t{1} << 31) - 1;

absl::Status TooLarge() {
  return MakeError(absl::StatusCode::kResourceExhausted, "MODEL_TOO_LARGE",
                   "the model is larger than 2 GiB",
                   {.hint = "write its weights as external data"});
}

// Protobuf orders maps by hash unless it is told not to; ONNX has no maps, so
// only unknown fields could differ, and there are none.
absl::StatusOr<std::string> Serialize(const onnx::ModelProto& model) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    if (!model.SerializeToCodedStream(&coded)) return TooLarge();
  }
  return bytes;
}

void FillHeader(const Graph& graph, const ExportOptions& options,
                onnx::ModelProto* model) {
  model->set_ir_version(IrVersion(options.opset));
  model->set_producer_name("condense");
  model->set_doc_string(graph.doc);
  auto* opset = model->add_opset_import();
  opset->set_domain("");
  opset->set_version(options.opset);
  if (options.raw) {
    auto* ours = model->add_opset_import();
    ours->set_domain("condense");
    ours->set_version(1);
  }
  for (const auto& [key, value] : graph.metadata) {
    auto* property = model->add_metadata_props();
    property->set_key(key);
    property->set_value(value);
  }
}

absl::StatusOr<std::string> Write(const Graph& given,
                                  const ExportOptions& options,
                                  InitializerWriter* initializers) {
  if (options.opset < 13 || options.opset > 21) {
    return MakeError(
        absl::StatusCode::kUnimplemented, "UNSUPPORTED_OPSET",
        absl::StrCat("opset ", options.opset, " is not written; 13 to 21 are"));
  }
  Graph graph = given;
  if (!options.raw) {
    CONDENSE_RETURN_IF_ERROR(LowerToOpset(graph, options.opset));
    if (options.weights != graph::DType::kFloat32) {
      StoreWeightsAs(graph, options.weights);
    }
    RestoreDeclaredTypes(graph);
  }
  onnx::ModelProto model;
  FillHeader(graph, options, &model);
  Context context = {options, *initializers};
  CONDENSE_RETURN_IF_ERROR(
      FillGraph(graph, context, {}, "", model.mutable_graph()));
  return Serialize(model);
}

int64_t ConstantBytes(const Graph& graph) {
  int64_t bytes = 0;
  for (graph::ValueId id : graph.values()) {
    const graph::Tensor* tensor = graph.ConstantOf(id);
    if (tensor != nullptr)
      bytes += static_cast<int64_t>(tensor->bytes().size());
  }
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> ExportOnnx(const Graph& graph,
                                       const ExportOptions& options) {
  if (ConstantBytes(graph) > kMessageBytesMax) return TooLarge();
  InitializerWriter initializers({.sparse = options.sparse});
  return Write(graph, options, &initializers);
}

absl::Status ExportOnnxFile(const Graph& graph, const std::string& path,
                            const FileOptions& options) {
  const bool external =
      options.external_data || ConstantBytes(graph) > options.inline_bytes_max;
  const std::string data = path + ".data";
  InitializerWriter initializers(
      {.sparse = options.model.sparse,
       .location =
           external ? std::filesystem::path(data).filename().string() : ""});
  CONDENSE_ASSIGN_OR_RETURN(const std::string bytes,
                            Write(graph, options.model, &initializers));
  if (external) CONDENSE_RETURN_IF_ERROR(initializers.WriteFile(data));
  return WriteFileAtomically(path, bytes);
}

}  // namespace condense::onnx_export
