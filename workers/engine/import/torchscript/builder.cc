#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/import/torchscript/interpreter.h"
#include "workers/engine/runtime/executor.h"

namespace condense::torchscript_import {

using graph::DType;
using graph::kNoValue;
using graph::ValueId;

void Fail(const std::string& reason, const std::string& message,
          const std::string& node) {
  throw ImportError{MakeError(absl::StatusCode::kInvalidArgument, reason,
                              message, {.node = node})};
}

std::vector<ValueId> Builder::Node(
    const std::string& op, std::vector<ValueId> inputs, int outputs,
    std::map<std::string, graph::Attribute> attrs) {
  while (!inputs.empty() && inputs.back() == kNoValue) inputs.pop_back();
  const std::vector<std::string> names(outputs, op);
  const graph::NodeId id =
      graph.AddNode(op, "", std::move(inputs), names, std::move(attrs));
  const absl::Status status = graph::InferNode(graph, id);
  if (!status.ok()) throw ImportError{status};
  return graph.node(id).outputs;
}

ValueId Builder::Op(const std::string& op, std::vector<ValueId> inputs,
                    std::map<std::string, graph::Attribute> attrs) {
  return Node(op, std::move(inputs), 1, std::move(attrs))[0];
}

ValueId Builder::Ints(const std::vector<int64_t>& values) {
  return graph.AddConstant(
      "ints", graph::Tensor::Of<int64_t>({static_cast<int64_t>(values.size())},
                                         values));
}

ValueId Builder::IntScalar(int64_t value) {
  return graph.AddConstant("int", graph::Tensor::Scalar<int64_t>(value));
}

ValueId Builder::FloatScalar(double value) {
  return graph.AddConstant(
      "float", graph::Tensor::Scalar<float>(static_cast<float>(value)));
}

ValueId Builder::ScalarLike(double value, ValueId like) {
  const DType dtype = DTypeOf(like);
  if (dtype == DType::kFloat32 || dtype == DType::kUndefined) {
    return FloatScalar(value);
  }
  if (dtype == DType::kInt64) return IntScalar(static_cast<int64_t>(value));
  return Cast(FloatScalar(value), dtype);
}

std::string Builder::NameOf(const torch::Tensor& tensor) const {
  auto it = names.find(tensor.unsafeGetTensorImpl());
  return it == names.end() ? "constant" : it->second;
}

ValueId Builder::NamedConstant(const std::string& name,
                               const torch::Tensor& tensor) {
  return graph.AddConstant(name, runtime::FromTorch(tensor));
}

ValueId Builder::Constant(const torch::Tensor& tensor) {
  auto it = constants_.find(tensor.unsafeGetTensorImpl());
  if (it != constants_.end()) return it->second;
  kept_.push_back(tensor);
  const ValueId id = NamedConstant(NameOf(tensor), tensor);
  constants_[tensor.unsafeGetTensorImpl()] = id;
  return id;
}

ValueId Builder::TensorOf(const Item& item) {
  switch (item.kind) {
    case Item::Kind::kTensor:
    case Item::Kind::kInt:
      return item.id;
    case Item::Kind::kConcrete:
      if (item.value.isTensor()) return Constant(item.value.toTensor());
      if (item.value.isInt()) return IntScalar(item.value.toInt());
      if (item.value.isDouble()) return FloatScalar(item.value.toDouble());
      if (item.value.isBool())
        return Constant(torch::tensor(item.value.toBool()));
      break;
    case Item::Kind::kList:
      break;
  }
  Fail("UNSUPPORTED_OPERATOR", "a value that is no tensor where one is needed");
}

ValueId Builder::OptionalTensor(const Item& item) {
  return item.IsNone() ? kNoValue : TensorOf(item);
}

ValueId Builder::Operand(const Item& item, ValueId like) {
  if (item.kind == Item::Kind::kConcrete && item.value.isScalar()) {
    return ScalarLike(item.value.toScalar().toDouble(), like);
  }
  const ValueId id = TensorOf(item);
  const bool to_float =
      graph::IsFloating(DTypeOf(like)) && !graph::IsFloating(DTypeOf(id));
  return to_float ? Cast(id, DTypeOf(like)) : id;
}

const graph::Shape& Builder::ShapeOf(ValueId id) const {
  const auto& shape = graph.value(id).shape;
  if (!shape) {
    const graph::NodeId producer = graph.value(id).producer;
    Fail("UNKNOWN_INPUT_SHAPE",
         absl::StrCat("the rank of '", graph.value(id).name,
                      "' is needed and not known; give the input's "
                      "shape (--input-shape Nx3x32x32)"),
         producer == graph::kNoNode ? "" : graph.node(producer).name);
  }
  return *shape;
}

Item Builder::SizeOf(ValueId id, int64_t axis) {
  const int64_t at = AxisOf(id, axis);
  const graph::Shape& shape = ShapeOf(id);
  if (at < 0 || at >= static_cast<int64_t>(shape.size())) {
    Fail("SHAPE_MISMATCH", "a size outside of the shape");
  }
  const graph::Dim dim = shape[at];
  if (dim.known()) return Item::Concrete(dim.value);
  const std::string symbol =
      dim.symbol.empty() ? absl::StrCat("size ", at, " of ", id) : dim.symbol;
  return Item::Number(
      Op("Gather", {Op("Shape", {id}), IntScalar(at)}, {{"axis", int64_t{0}}}),
      symbol);
}

ValueId Builder::SizesInput(const std::vector<Item>& sizes) {
  std::vector<int64_t> known;
  std::vector<ValueId> parts;
  for (const Item& size : sizes) {
    if (size.kind == Item::Kind::kConcrete) known.push_back(size.value.toInt());
    parts.push_back(kNoValue);
  }
  if (known.size() == sizes.size()) return Ints(known);
  for (size_t i = 0; i < sizes.size(); ++i) {
    parts[i] = sizes[i].kind == Item::Kind::kConcrete
                   ? Ints({sizes[i].value.toInt()})
                   : Op("Unsqueeze", {sizes[i].id, Ints({0})});
  }
  return Op("Concat", parts, {{"axis", int64_t{0}}});
}

ValueId Builder::Cast(ValueId id, DType dtype) {
  if (DTypeOf(id) == dtype) return id;
  return Op("Cast", {id}, {{"to", std::string(graph::DTypeName(dtype))}});
}

const Item& Arguments::operator[](size_t i) const {
  if (i >= items_.size()) {
    Fail("UNSUPPORTED_OPERATOR",
         absl::StrCat(node_->kind().toQualString(), " lacks argument ", i));
  }
  return items_[i];
}

namespace {

const c10::IValue& Known(const Arguments& arguments, size_t i) {
  const Item& item = arguments[i];
  if (item.kind != Item::Kind::kConcrete) {
    Fail("UNSUPPORTED_OPERATOR",
         absl::StrCat(arguments.node()->kind().toQualString(), ": argument ", i,
                      " depends on the data"));
  }
  return item.value;
}

}  // namespace

int64_t Arguments::Int(size_t i) const {
  const c10::IValue& value = Known(*this, i);
  return value.isTensor() ? value.toTensor().item<int64_t>()
                          : value.toScalar().toLong();
}

double Arguments::Double(size_t i) const {
  const c10::IValue& value = Known(*this, i);
  return value.isTensor() ? value.toTensor().item<double>()
                          : value.toScalar().toDouble();
}

bool Arguments::Bool(size_t i) const {
  const c10::IValue& value = Known(*this, i);
  return value.isBool() ? value.toBool() : value.toScalar().toLong() != 0;
}

std::string Arguments::String(size_t i) const {
  return Known(*this, i).toStringRef();
}

std::vector<int64_t> Arguments::Ints(size_t i) const {
  if ((*this)[i].kind == Item::Kind::kConcrete && (*this)[i].value.isInt()) {
    return {(*this)[i].value.toInt()};
  }
  std::vector<int64_t> values;
  for (const Item& item : List(i)) {
    if (item.kind != Item::Kind::kConcrete) {
      Fail("UNSUPPORTED_OPERATOR",
           absl::StrCat(node_->kind().toQualString(), ": argument ", i,
                        " depends on a size that is not known"));
    }
    values.push_back(item.value.toScalar().toLong());
  }
  return values;
}

std::vector<Item> Arguments::List(size_t i) const {
  return ElementsOf((*this)[i]);
}

std::vector<Item> ElementsOf(const Item& item) {
  if (item.kind == Item::Kind::kList) return *item.items;
  std::vector<Item> items;
  if (item.kind == Item::Kind::kConcrete && item.value.isList()) {
    for (const c10::IValue& element : item.value.toListRef()) {
      items.push_back(Item::Concrete(element));
    }
    return items;
  }
  if (item.kind == Item::Kind::kConcrete && item.value.isTuple()) {
    for (const c10::IValue& element : item.value.toTupleRef().elements()) {
      items.push_back(Item::Concrete(element));
    }
    return items;
  }
  Fail("UNSUPPORTED_OPERATOR", "a value that is no list where one is needed");
}

}  // namespace condense::torchscript_import
