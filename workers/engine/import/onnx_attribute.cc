#include "workers/engine/import/onnx_attribute.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/import/onnx_tensor.h"
#include "workers/engine/import/sparse_tensor.h"

namespace condense::onnx_import {
namespace {

using graph::Attribute;
using graph::Tensor;

absl::Status Bad(absl::string_view reason, const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message);
}

// Attributes that hold a number of ONNX's for a type; the graph names types.
bool NamesType(const std::string& op, const std::string& key) {
  return (op == "Cast" && key == "to") || key == "output_datatype" ||
         (key == "output_dtype" && op == "QuantizeLinear") ||
         (key == "dtype" && op == "EyeLike");
}

// Before opset 6 types were written by name.
int TypeNumber(const onnx::AttributeProto& attribute) {
  if (attribute.type() != onnx::AttributeProto::STRING) {
    return static_cast<int>(attribute.i());
  }
  onnx::TensorProto::DataType type = onnx::TensorProto::UNDEFINED;
  onnx::TensorProto::DataType_Parse(attribute.s(), &type);
  return type;
}

absl::StatusOr<Attribute> FromProto(onnx::AttributeProto* a,
                                    ExternalData* external) {
  switch (a->type()) {
    case onnx::AttributeProto::INT:
      return Attribute(static_cast<int64_t>(a->i()));
    case onnx::AttributeProto::FLOAT:
      return Attribute(a->f());
    case onnx::AttributeProto::STRING:
      return Attribute(a->s());
    case onnx::AttributeProto::INTS:
      return Attribute(
          std::vector<int64_t>(a->ints().begin(), a->ints().end()));
    case onnx::AttributeProto::FLOATS:
      return Attribute(
          std::vector<float>(a->floats().begin(), a->floats().end()));
    case onnx::AttributeProto::STRINGS:
      return Attribute(
          std::vector<std::string>(a->strings().begin(), a->strings().end()));
    case onnx::AttributeProto::TENSOR: {
      CONDENSE_ASSIGN_OR_RETURN(
          Tensor tensor, TensorFromProto(std::move(*a->mutable_t()), external));
      return Attribute(std::move(tensor));
    }
    case onnx::AttributeProto::SPARSE_TENSOR: {
      CONDENSE_ASSIGN_OR_RETURN(
          Tensor tensor,
          TensorFromSparse(std::move(*a->mutable_sparse_tensor()), external));
      return Attribute(std::move(tensor));
    }
    default:
      return Bad("UNSUPPORTED_ATTRIBUTE",
                 absl::StrCat("attribute '", a->name(),
                              "' has a type that condense does not read"));
  }
}

}  // namespace

absl::StatusOr<std::map<std::string, Attribute>> AttributesFromProto(
    onnx::NodeProto* proto, ExternalData* external) {
  std::map<std::string, Attribute> attrs;
  for (auto& attribute : *proto->mutable_attribute()) {
    if (attribute.type() == onnx::AttributeProto::GRAPH) continue;
    CONDENSE_ASSIGN_OR_RETURN(Attribute value, FromProto(&attribute, external));
    if (NamesType(proto->op_type(), attribute.name())) {
      value =
          std::string(graph::DTypeName(DTypeFromOnnx(TypeNumber(attribute))));
    }
    attrs[attribute.name()] = std::move(value);
  }
  return attrs;
}

absl::StatusOr<Tensor> ConstantFromAttributes(
    const std::map<std::string, Attribute>& attrs) {
  if (attrs.size() != 1) return Bad("BAD_GRAPH", "a Constant needs one value");
  const Attribute& value = attrs.begin()->second;
  if (const auto* t = std::get_if<Tensor>(&value)) return *t;
  if (const auto* i = std::get_if<int64_t>(&value)) return Tensor::Scalar(*i);
  if (const auto* f = std::get_if<float>(&value)) return Tensor::Scalar(*f);
  if (const auto* is = std::get_if<std::vector<int64_t>>(&value)) {
    return Tensor::Of<int64_t>({static_cast<int64_t>(is->size())}, *is);
  }
  if (const auto* fs = std::get_if<std::vector<float>>(&value)) {
    return Tensor::Of<float>({static_cast<int64_t>(fs->size())}, *fs);
  }
  if (const auto* s = std::get_if<std::string>(&value)) {
    return Tensor({}, std::vector<std::string>{*s});
  }
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    return Tensor({static_cast<int64_t>(list->size())}, *list);
  }
  return Bad("BAD_GRAPH", "a Constant of a kind that condense lacks");
}

}  // namespace condense::onnx_import
