#include "workers/engine/import/onnx.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "common/utf8.h"
#include "google/protobuf/io/coded_stream.h"
#include "onnx/onnx_pb.h"
#include "workers/engine/graph/passes/lift_quantizers.h"
#include "workers/engine/graph/passes/simplify.h"
#include "workers/engine/graph/passes/widen_floats.h"
#include "workers/engine/graph/verify.h"
#include "workers/engine/import/default_attributes.h"
#include "workers/engine/import/external_data.h"
#include "workers/engine/import/onnx_attribute.h"
#include "workers/engine/import/onnx_tensor.h"
#include "workers/engine/import/opset.h"
#include "workers/engine/import/sparse_tensor.h"
#include "workers/engine/import/wire_check.h"

namespace condense::onnx_import {
namespace {

using graph::Attribute;
using graph::DType;
using graph::Graph;
using graph::kNoValue;
using graph::Tensor;
using graph::ValueId;

constexpr int kOpsetMin = 1;
constexpr int kOpsetMax = 23;
// Subgraphs in subgraphs.
constexpr int kDepthMax = 16;

absl::Status Bad(absl::string_view reason, const std::string& message,
                 ErrorDetail detail = {}) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message,
                   std::move(detail));
}

// What one message of Protocol Buffers can have.
constexpr size_t kModelBytesMax = (size_t{1} << 31) - 1;

absl::Status TooLarge() {
  return Bad("MODEL_TOO_LARGE", "an ONNX file cannot have more than 2 GiB",
             {.hint = "save the weights as external data beside the model"});
}

absl::StatusOr<onnx::ModelProto> ParseModel(absl::string_view bytes) {
  if (bytes.size() > kModelBytesMax) return TooLarge();
  CONDENSE_RETURN_IF_ERROR(
      CheckWire(bytes, *onnx::ModelProto::descriptor()));
  onnx::ModelProto model;
  google::protobuf::io::CodedInputStream stream(
      reinterpret_cast<const uint8_t*>(bytes.data()),
      static_cast<int>(bytes.size()));
  stream.SetRecursionLimit(100);
  if (!model.ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage() ||
      !model.has_graph() || model.graph().output().empty()) {
    return Bad("NOT_A_MODEL", "the file is not an ONNX model",
               {.hint = "export it again, with its weights inside"});
  }
  return model;
}

absl::StatusOr<int> OpsetOf(const onnx::ModelProto& model) {
  int opset = 0;
  for (const auto& import : model.opset_import()) {
    if (import.domain().empty() || import.domain() == "ai.onnx") {
      opset = static_cast<int>(import.version());
    }
  }
  if (opset >= kOpsetMin && opset <= kOpsetMax) return opset;
  if (opset == 0) {
    return Bad("UNSUPPORTED_OPSET",
               "the model names no version of ONNX's default operators");
  }
  return Bad("UNSUPPORTED_OPSET",
             absl::StrCat("the model uses opset ", opset, "; opsets ",
                          kOpsetMin, " to ", kOpsetMax, " are read"),
             {.hint = "export the model with opset 17"});
}

std::string Domain(const std::string& domain) {
  return domain == "ai.onnx" ? "" : domain;
}

// One file being turned into a graph.
class Importer {
 public:
  // `outer`: of the graph around a subgraph, must outlive this one.
  // Takes the tensors out of `proto`.
  Importer(onnx::GraphProto* proto, const ImportOptions& options,
           ExternalData* external, Importer* outer = nullptr)
      : proto_(*proto), options_(options), external_(external), outer_(outer) {}

  absl::StatusOr<Graph> Run() {
    if (!options_.raw && outer_ == nullptr) {
      CONDENSE_RETURN_IF_ERROR(CheckOperators());
    }
    if (!proto_.name().empty() && IsUtf8(proto_.name()))
      graph_.name = proto_.name();
    CONDENSE_RETURN_IF_ERROR(AddInitializers());
    CONDENSE_RETURN_IF_ERROR(AddInputs());
    for (auto& node : *proto_.mutable_node()) {
      CONDENSE_RETURN_IF_ERROR(AddNode(node));
    }
    return Finish();
  }

  // The names of the values that the subgraph reads from outside, in the order
  // of the inputs that stand for them.
  const std::vector<std::string>& captures() const { return captures_; }
  // Makes the outer value `name` an input of the subgraph.
  ValueId Capture(const std::string& name) {
    captures_.push_back(name);
    values_[name] = graph_.AddInput(name, DType::kUndefined, std::nullopt);
    return values_[name];
  }

 private:
  using Unknown = std::map<std::string, std::vector<std::string>>;

  static void FindUnknown(const onnx::GraphProto& proto, int depth,
                          Unknown* unknown) {
    for (const auto& node : proto.node()) {
      for (const auto& attribute : node.attribute()) {
        if (attribute.has_g() && depth < kDepthMax) {
          FindUnknown(attribute.g(), depth + 1, unknown);
        }
      }
      const bool ours =
          Domain(node.domain()).empty() && IsKnownOperator(node.op_type());
      if (ours) continue;
      std::string op = node.op_type();
      if (!Domain(node.domain()).empty()) {
        op = absl::StrCat(node.domain(), "::", op);
      }
      std::string name = node.name();
      if (name.empty() && node.output_size() > 0) name = node.output(0);
      (*unknown)[op].push_back(name);
    }
  }

  // All operators that we lack, at once.
  absl::Status CheckOperators() const {
    Unknown unknown;
    FindUnknown(proto_, 0, &unknown);
    if (unknown.empty()) return absl::OkStatus();
    std::string list =
        absl::StrJoin(unknown, "; ", [](std::string* out, const auto& entry) {
          absl::StrAppend(out, entry.first, " (",
                          absl::StrJoin(entry.second, ", "), ")");
        });
    return Bad(
        "UNSUPPORTED_OPERATOR",
        absl::StrCat("the model uses operators that condense lacks: ", list),
        {.node = unknown.begin()->second[0]});
  }

  absl::Status Define(const std::string& name, ValueId id) {
    if (!IsUtf8(name)) {
      return Bad("BAD_GRAPH", "a value's name is not UTF-8");
    }
    if (name.empty() || values_.count(name) > 0) {
      return Bad("BAD_GRAPH",
                 absl::StrCat("the value '", name, "' is defined twice"));
    }
    values_[name] = id;
    return absl::OkStatus();
  }

  absl::Status AddInitializers() {
    for (auto& initializer : *proto_.mutable_initializer()) {
      const std::string name = initializer.name();
      CONDENSE_ASSIGN_OR_RETURN(
          Tensor tensor, TensorFromProto(std::move(initializer), external_));
      CONDENSE_RETURN_IF_ERROR(
          Define(name, graph_.AddConstant(name, std::move(tensor))));
    }
    for (auto& initializer : *proto_.mutable_sparse_initializer()) {
      const std::string name = initializer.values().name();
      CONDENSE_ASSIGN_OR_RETURN(
          Tensor tensor, TensorFromSparse(std::move(initializer), external_));
      CONDENSE_RETURN_IF_ERROR(
          Define(name, graph_.AddConstant(name, std::move(tensor))));
    }
    return absl::OkStatus();
  }

  absl::Status AddInputs() {
    for (const auto& input : proto_.input()) {
      if (values_.count(input.name()) > 0) continue;  // an initializer's twin
      const auto& type = input.type().tensor_type();
      std::optional<graph::Shape> shape;
      if (type.has_shape()) {
        shape.emplace();
        for (const auto& dim : type.shape().dim()) {
          if (dim.has_dim_value() && dim.dim_value() < 0) {
            return Bad("BAD_GRAPH", absl::StrCat("input '", input.name(),
                                                 "' has a negative size"));
          }
          shape->push_back(dim.has_dim_value()
                               ? graph::Dim(dim.dim_value())
                               : graph::Dim::Symbol(dim.dim_param()));
        }
      }
      CONDENSE_RETURN_IF_ERROR(
          Define(input.name(),
                 graph_.AddInput(input.name(), DTypeFromOnnx(type.elem_type()),
                                 shape)));
    }
    return absl::OkStatus();
  }

  // The value of that name, from the graph around it if need be.
  ValueId Find(const std::string& name) {
    auto it = values_.find(name);
    if (it != values_.end()) return it->second;
    if (outer_ == nullptr || outer_->Find(name) == kNoValue) return kNoValue;
    return Capture(name);
  }

  // The subgraphs of a node. All of them get the same captured values, as
  // inputs behind their own; the node reads these behind its own.
  absl::Status ReadSubgraphs(onnx::NodeProto& proto,
                             std::map<std::string, Attribute>* attrs,
                             std::vector<ValueId>* inputs) {
    std::vector<std::pair<std::string, std::unique_ptr<Importer>>> bodies;
    std::vector<Graph> graphs;
    std::vector<std::string> captures;
    for (auto& attribute : *proto.mutable_attribute()) {
      if (attribute.type() != onnx::AttributeProto::GRAPH) continue;
      int depth = 0;
      for (const Importer* i = outer_; i != nullptr; i = i->outer_) ++depth;
      if (depth >= kDepthMax) return Bad("BAD_GRAPH", "subgraphs too deep");
      bodies.emplace_back(attribute.name(), std::make_unique<Importer>(
                                                attribute.mutable_g(), options_,
                                                external_, this));
      CONDENSE_ASSIGN_OR_RETURN(Graph body, bodies.back().second->Run());
      graphs.push_back(std::move(body));
      for (const std::string& name : bodies.back().second->captures()) {
        if (std::find(captures.begin(), captures.end(), name) ==
            captures.end()) {
          captures.push_back(name);
        }
      }
    }
    if (bodies.empty()) return absl::OkStatus();
    for (size_t i = 0; i < bodies.size(); ++i) {
      AlignCaptures(captures, bodies[i].second->captures(), &graphs[i]);
      // Shared with copies of the node; never written again.
      (*attrs)[bodies[i].first] =
          std::make_shared<const Graph>(std::move(graphs[i]));
    }
    (*attrs)["captures"] = static_cast<int64_t>(captures.size());
    for (const std::string& name : captures) inputs->push_back(Find(name));
    return absl::OkStatus();
  }

  // Gives the body one input per captured name, in that order.
  static void AlignCaptures(const std::vector<std::string>& wanted,
                            const std::vector<std::string>& have, Graph* body) {
    std::vector<ValueId> inputs = body->inputs();
    const size_t own = inputs.size() - have.size();
    std::vector<ValueId> aligned(inputs.begin(), inputs.begin() + own);
    for (const std::string& name : wanted) {
      auto it = std::find(have.begin(), have.end(), name);
      aligned.push_back(
          it == have.end()
              ? body->AddValue(name)
              : inputs[own + static_cast<size_t>(it - have.begin())]);
    }
    body->SetInputs(std::move(aligned));
  }

  absl::Status AddNode(onnx::NodeProto& proto) {
    if (!IsUtf8(proto.name())) {
      return Bad("BAD_GRAPH", "a node's name is not UTF-8");
    }
    CONDENSE_ASSIGN_OR_RETURN(auto attrs,
                              AttributesFromProto(&proto, external_));
    if (proto.op_type() == "Constant" && Domain(proto.domain()).empty()) {
      return AddConstantNode(proto, attrs);
    }
    std::vector<ValueId> inputs;
    for (const std::string& name : proto.input()) {
      if (name.empty()) {
        inputs.push_back(kNoValue);
        continue;
      }
      const ValueId id = Find(name);
      if (id == kNoValue) {
        return Bad("BAD_GRAPH",
                   absl::StrCat("node '", proto.name(), "' reads '", name,
                                "', which nothing before it makes"),
                   {.node = proto.name()});
      }
      inputs.push_back(id);
    }
    CONDENSE_RETURN_IF_ERROR(ReadSubgraphs(proto, &attrs, &inputs));
    std::vector<std::string> outputs(proto.output().begin(),
                                     proto.output().end());
    const bool none = std::all_of(outputs.begin(), outputs.end(),
                                  [](const auto& o) { return o.empty(); });
    if (outputs.empty() || none) {
      return Bad("BAD_GRAPH",
                 absl::StrCat("node '", proto.name(), "' has no output"));
    }
    const graph::NodeId id =
        graph_.AddNode(proto.op_type(), proto.name(), std::move(inputs),
                       outputs, std::move(attrs), Domain(proto.domain()));
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i].empty()) {
        // The first one stays, under a name of ours: all code may look at it.
        if (i > 0) graph_.mutable_node(id).outputs[i] = kNoValue;
        continue;
      }
      CONDENSE_RETURN_IF_ERROR(Define(outputs[i], graph_.node(id).outputs[i]));
    }
    return absl::OkStatus();
  }

  absl::Status AddConstantNode(const onnx::NodeProto& proto,
                               const std::map<std::string, Attribute>& attrs) {
    if (proto.output_size() != 1) {
      return Bad("BAD_GRAPH", "a Constant needs one output");
    }
    CONDENSE_ASSIGN_OR_RETURN(Tensor tensor, ConstantFromAttributes(attrs));
    return Define(proto.output(0),
                  graph_.AddConstant(proto.output(0), std::move(tensor)));
  }

  absl::StatusOr<Graph> Finish() {
    for (const auto& output : proto_.output()) {
      const ValueId id = Find(output.name());
      if (id == kNoValue) {
        return Bad("BAD_GRAPH", absl::StrCat("nothing makes the output '",
                                             output.name(), "'"));
      }
      graph_.AddOutput(id);
    }
    return std::move(graph_);
  }

  onnx::GraphProto& proto_;
  const ImportOptions& options_;
  ExternalData* const external_;
  Importer* const outer_;
  Graph graph_;
  std::map<std::string, ValueId> values_;
  std::vector<std::string> captures_;
};

}  // namespace

absl::StatusOr<Graph> ImportOnnx(absl::string_view bytes,
                                 const ImportOptions& options) {
  CONDENSE_ASSIGN_OR_RETURN(onnx::ModelProto model, ParseModel(bytes));
  CONDENSE_ASSIGN_OR_RETURN(int opset, OpsetOf(model));
  ExternalData external(options.folder);
  CONDENSE_ASSIGN_OR_RETURN(
      Graph graph, Importer(model.mutable_graph(), options, &external).Run());
  if (IsUtf8(model.doc_string())) graph.doc = model.doc_string();
  for (const auto& property : model.metadata_props()) {
    if (!IsUtf8(property.key()) || !IsUtf8(property.value())) continue;
    graph.metadata[property.key()] = property.value();
  }
  graph.opset = opset;
  if (options.raw) {
    CONDENSE_RETURN_IF_ERROR(graph::Simplify(graph, {.only_infer = true}));
    return graph;
  }
  CONDENSE_RETURN_IF_ERROR(BringToOpset(graph, opset));
  CONDENSE_RETURN_IF_ERROR(graph::WidenFloats().Run(graph).status());
  CONDENSE_RETURN_IF_ERROR(graph::Simplify(graph));
  DropDefaultAttributes(graph);
  if (options.lift_quantizers) {
    CONDENSE_RETURN_IF_ERROR(graph::LiftQuantizers().Run(graph).status());
  }
  CONDENSE_RETURN_IF_ERROR(graph::Verify(graph));
  return graph;
}

absl::StatusOr<Graph> ImportOnnxFile(const std::string& path) {
  std::error_code error;
  if (std::filesystem::file_size(path, error) > kModelBytesMax && !error) {
    return TooLarge();
  }
  CONDENSE_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path));
  std::string folder = std::filesystem::path(path).parent_path().string();
  if (folder.empty()) folder = ".";
  return ImportOnnx(bytes, {.folder = folder});
}

}  // namespace condense::onnx_import
