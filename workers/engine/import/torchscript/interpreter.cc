#include "workers/engine/import/torchscript/interpreter.h"

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "workers/engine/import/torchscript/program_check.h"
#include "workers/engine/runtime/dtype.h"

namespace condense::torchscript_import {

using graph::DType;
using graph::ValueId;
using torch::jit::Block;
using torch::jit::Node;
using torch::jit::Value;

namespace {

std::string NameOf(const Node* node) { return node->kind().toQualString(); }

// Where the node stands in the model's source.
std::string PlaceOf(const Node* node) {
  const auto range = node->sourceRange().file_line_col();
  if (!range) return node->scopeName();
  return absl::StrCat(std::get<0>(*range), ":", std::get<1>(*range));
}

bool IsConcrete(const Item& item) {
  if (item.kind == Item::Kind::kConcrete) return true;
  return item.kind == Item::Kind::kList &&
         std::all_of(item.items->begin(), item.items->end(), IsConcrete);
}

c10::IValue ToIValue(const Item& item, const c10::TypePtr& type) {
  if (item.kind == Item::Kind::kConcrete) return item.value;
  if (const auto tuple = type->cast<c10::TupleType>()) {
    std::vector<c10::IValue> elements;
    for (size_t i = 0; i < item.items->size(); ++i) {
      elements.push_back(ToIValue((*item.items)[i], tuple->elements()[i]));
    }
    return c10::ivalue::Tuple::create(std::move(elements));
  }
  c10::TypePtr element = c10::AnyType::get();
  if (const auto list = type->cast<c10::ListType>()) {
    element = list->getElementType();
  }
  c10::impl::GenericList list(element);
  for (const Item& part : *item.items) list.push_back(ToIValue(part, element));
  return list;
}

// Whether the block does nothing but raise: an assertion's failing side.
bool OnlyRaises(const Block* block) {
  for (const Node* node : block->nodes()) {
    if (node->kind() == c10::prim::RaiseException) return true;
  }
  return false;
}

bool IsInteger(const Item& item) {
  return item.kind == Item::Kind::kInt ||
         (item.kind == Item::Kind::kConcrete && item.value.isInt());
}

// A whole number, also as a tensor of one element.
bool IsNumber(const Item& item) {
  if (IsInteger(item)) return true;
  if (!item.IsConstantTensor()) return false;
  const torch::Tensor& tensor = item.value.toTensor();
  return tensor.dim() == 0 && !tensor.is_floating_point();
}

std::string SymbolOf(const Item& item) {
  return item.kind == Item::Kind::kInt ? item.symbol
                                       : absl::StrCat(item.value.toInt());
}

}  // namespace

DType DTypeOfScalarType(int64_t scalar_type) {
  return runtime::DTypeOfTorch(static_cast<torch::ScalarType>(scalar_type));
}

Interpreter::Interpreter(Builder* builder) : builder_(*builder) {
  AddMathHandlers(&handlers_);
  AddNetworkHandlers(&handlers_);
  AddShapeHandlers(&handlers_);
  AddFillHandlers(&handlers_);
  AddSequenceHandlers(&handlers_);
}

void Interpreter::Set(const Value* value, Item item) {
  values_[value] = std::move(item);
}

const Item& Interpreter::Get(const Value* value) const {
  auto it = values_.find(value);
  if (it == values_.end()) {
    Fail("NOT_A_MODEL", absl::StrCat("'", value->debugName(),
                                     "' is used before it is computed"));
  }
  return it->second;
}

std::vector<Item> Interpreter::RunBlock(const Block* block) {
  for (const Node* node : block->nodes()) RunNode(node);
  std::vector<Item> outputs;
  for (const Value* value : block->outputs()) outputs.push_back(Get(value));
  return outputs;
}

void Interpreter::RunNode(const Node* node) {
  if (node->kind() == c10::prim::If) return RunIf(node);
  if (node->kind() == c10::prim::Loop) return RunLoop(node);
  if (node->kind() == c10::prim::RaiseException) {
    const Item& message = Get(node->input(0));
    Fail("MODEL_RAISES",
         absl::StrCat("the model raises: ", message.value.isString()
                                                ? message.value.toStringRef()
                                                : "an exception"),
         PlaceOf(node));
  }
  if (RunStructure(node)) return;
  std::vector<Item> items;
  for (const Value* input : node->inputs()) items.push_back(Get(input));
  const Arguments arguments(node, std::move(items));
  if (RunQuery(node, arguments)) return;
  if (RunConcrete(node)) return;
  if (RunNumbers(node, arguments)) return;
  RunOperator(node, arguments);
}

void Interpreter::RunIf(const Node* node) {
  const Item& condition = Get(node->input(0));
  const Block *yes = node->blocks()[0], *no = node->blocks()[1];
  const Block* taken = nullptr;
  if (condition.kind == Item::Kind::kConcrete) {
    taken = condition.value.toBool() ? yes : no;
  } else if (OnlyRaises(yes)) {
    taken = no;  // a check of the data, which holds
  } else if (OnlyRaises(no)) {
    taken = yes;
  } else {
    Fail("DATA_DEPENDENT_CONTROL_FLOW",
         "a branch depends on the data; only branches on constants and sizes "
         "are resolved",
         PlaceOf(node));
  }
  const std::vector<Item> outputs = RunBlock(taken);
  for (size_t i = 0; i < outputs.size(); ++i) {
    Set(node->output(i), outputs[i]);
  }
}

// prim::Loop(trip count, first condition, carried values...); its block takes
// (iteration, carried...) and gives (condition, carried...).
void Interpreter::RunLoop(const Node* node) {
  const Item trips = Get(node->input(0)), first = Get(node->input(1));
  if (trips.kind != Item::Kind::kConcrete ||
      first.kind != Item::Kind::kConcrete) {
    Fail("DATA_DEPENDENT_CONTROL_FLOW",
         "the number of turns of a loop depends on the data", PlaceOf(node));
  }
  std::vector<Item> carried;
  for (size_t i = 2; i < node->inputs().size(); ++i) {
    carried.push_back(Get(node->input(i)));
  }
  const Block* body = node->blocks()[0];
  bool alive = first.value.toBool();
  for (int64_t turn = 0; alive && turn < trips.value.toInt(); ++turn) {
    if (++turns_ > kIterationsMax) {
      Fail("DATA_DEPENDENT_CONTROL_FLOW",
           absl::StrCat("loops of more than ", kIterationsMax, " turns"),
           PlaceOf(node));
    }
    Set(body->inputs()[0], Item::Concrete(turn));
    for (size_t i = 0; i < carried.size(); ++i) {
      Set(body->inputs()[i + 1], carried[i]);
    }
    std::vector<Item> outputs = RunBlock(body);
    if (outputs[0].kind != Item::Kind::kConcrete) {
      Fail("DATA_DEPENDENT_CONTROL_FLOW",
           "the end of a loop depends on the data", PlaceOf(node));
    }
    alive = outputs[0].value.toBool();
    carried.assign(outputs.begin() + 1, outputs.end());
  }
  for (size_t i = 0; i < carried.size(); ++i) Set(node->output(i), carried[i]);
}

// Constants, attributes, lists and tuples.
bool Interpreter::RunStructure(const Node* node) {
  const auto kind = node->kind();
  if (kind == c10::prim::Constant) {
    const auto value = torch::jit::toIValue(node->output());
    Set(node->output(), Item::Concrete(value ? *value : c10::IValue()));
    return true;
  }
  if (kind == c10::prim::GetAttr) {
    const Item& object = Get(node->input(0));
    Set(node->output(), Item::Concrete(object.value.toObject()->getAttr(
                            node->s(c10::attr::name))));
    return true;
  }
  if (kind == c10::prim::SetAttr || kind == c10::prim::Print) return true;
  if (kind == c10::prim::ListConstruct || kind == c10::prim::TupleConstruct) {
    std::vector<Item> items;
    for (const Value* input : node->inputs()) items.push_back(Get(input));
    Item list = Item::List(std::move(items));
    // Lists of tensors stay lists of items: a tensor of the graph may be
    // appended later.
    const auto type = node->output()->type()->cast<c10::ListType>();
    const bool tensors =
        type && type->getElementType()->kind() == c10::TypeKind::TensorType;
    Set(node->output(),
        IsConcrete(list) && !tensors
            ? Item::Concrete(ToIValue(list, node->output()->type()))
            : list);
    return true;
  }
  if (kind == c10::prim::ListUnpack || kind == c10::prim::TupleUnpack) {
    const std::vector<Item> items = ElementsOf(Get(node->input(0)));
    for (size_t i = 0; i < node->outputs().size(); ++i) {
      Set(node->output(i), items.at(i));
    }
    return true;
  }
  if (kind == c10::prim::DictConstruct) {
    std::vector<Item> items;
    for (size_t i = 1; i < node->inputs().size(); i += 2) {
      items.push_back(Get(node->input(i)));
    }
    Set(node->output(), Item::List(std::move(items)));
    return true;
  }
  if (kind == c10::prim::Uninitialized) {
    Set(node->output(), Item::Concrete(c10::IValue()));
    return true;
  }
  return false;
}

// What programs do with lists that hold symbols or tensors of the graph.
bool Interpreter::RunListQuery(const std::string& name, const Arguments& a,
                               const Node* node) {
  const bool first = a[0].kind == Item::Kind::kList;
  const bool second = a.size() > 1 && a[1].kind == Item::Kind::kList;
  if (!first && !second) return false;
  auto answer = [&](std::vector<Item> items) {
    Set(node->output(), Item::List(std::move(items)));
    return true;
  };
  if (name == "aten::add" || name == "aten::add_") {
    std::vector<Item> joined = a.List(0);
    for (const Item& item : a.List(1)) joined.push_back(item);
    if (name == "aten::add_" && first) {
      *a[0].items = joined;
      Set(node->output(), a[0]);
      return true;
    }
    return answer(std::move(joined));
  }
  if (!first) return false;
  const int64_t size = static_cast<int64_t>(a[0].items->size());
  auto wrap = [&](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + size : at, 0, size);
  };
  if (name == "aten::list") return answer(a.List(0));
  if (name == "aten::slice") {
    const int64_t from = a.IsNone(1) ? 0 : wrap(a.Int(1));
    const int64_t to = a.IsNone(2) ? size : wrap(a.Int(2));
    std::vector<Item> part;
    for (int64_t i = from; i < to; i += std::max<int64_t>(1, a.Int(3))) {
      part.push_back((*a[0].items)[i]);
    }
    return answer(std::move(part));
  }
  if (name == "aten::_set_item") {
    const int64_t at = a.Int(1);
    a[0].items->at(at < 0 ? at + size : at) = a[2];
    Set(node->output(), a[0]);
    return true;
  }
  if (name == "aten::insert") {
    a[0].items->insert(a[0].items->begin() + wrap(a.Int(1)), a[2]);
    return true;
  }
  return false;
}

// What is known of a tensor of the graph, a[0]; absent: not this question.
std::optional<Item> Interpreter::TensorFact(const std::string& name,
                                            const Arguments& a) {
  // Not known: an If on it says so.
  if (name == "aten::Bool" || name == "aten::is_nonzero") {
    return Item::Number(graph::kNoValue, "unknown");
  }
  const ValueId id = a[0].id;
  if (name == "aten::size") {
    if (a.size() > 1) return builder_.SizeOf(id, a.Int(1));
    std::vector<Item> sizes;
    for (int64_t i = 0; i < builder_.RankOf(id); ++i) {
      sizes.push_back(builder_.SizeOf(id, i));
    }
    return Item::List(std::move(sizes));
  }
  if (name == "aten::len") return builder_.SizeOf(id, 0);
  if (name == "aten::dim") return Item::Concrete(builder_.RankOf(id));
  const DType dtype = builder_.DTypeOf(id);
  if (name == "prim::dtype") {
    return Item::Concrete(static_cast<int64_t>(
        runtime::ScalarTypeOf(dtype).value_or(torch::kFloat32)));
  }
  if (name == "prim::device") {
    return Item::Concrete(c10::Device(torch::kCPU));
  }
  if (name == "aten::is_floating_point") {
    return Item::Concrete(graph::IsFloating(dtype));
  }
  for (const char* no : {"prim::requires_grad", "prim::is_nested",
                         "prim::is_cuda", "aten::is_complex", "prim::is_sparse",
                         "prim::is_quantized", "prim::is_mkldnn"}) {
    if (name == no) return Item::Concrete(false);
  }
  return std::nullopt;
}

// Questions about tensors of the graph that have an answer now.
bool Interpreter::RunQuery(const Node* node, const Arguments& a) {
  const std::string name = NameOf(node);
  if (a.size() == 0) return false;
  auto answer = [&](Item item) {
    Set(node->output(), std::move(item));
    return true;
  };
  if (RunListQuery(name, a, node)) return true;
  if (name == "prim::TupleIndex" || name == "aten::__getitem__") {
    if (a[0].kind != Item::Kind::kList) return false;
    const int64_t size = static_cast<int64_t>(a[0].items->size());
    const int64_t index = a.Int(1);
    return answer(a[0].items->at(index < 0 ? index + size : index));
  }
  if (name == "aten::append" && a[0].kind == Item::Kind::kList) {
    a[0].items->push_back(a[1]);
    return answer(a[0]);
  }
  if (name == "aten::len" && a[0].kind == Item::Kind::kList) {
    return answer(Item::Concrete(static_cast<int64_t>(a[0].items->size())));
  }
  if (name == "aten::__is__" || name == "aten::__isnot__") {
    if (a[0].kind == Item::Kind::kConcrete &&
        a[1].kind == Item::Kind::kConcrete) {
      return false;
    }
    return answer(Item::Concrete(name == "aten::__isnot__"));
  }
  if (name == "prim::unchecked_cast" || name == "aten::_unwrap_optional" ||
      name == "prim::NumToTensor" || name == "aten::Int") {
    // Numbers that depend on sizes stay numbers.
    if (a[0].kind == Item::Kind::kConcrete &&
        (name == "prim::NumToTensor" || name == "aten::Int")) {
      return false;
    }
    if (name == "aten::Int" && a[0].IsTensor()) {
      return answer(Item::Number(a[0].id, absl::StrCat("value ", a[0].id)));
    }
    return answer(a[0]);
  }
  if (!a[0].IsTensor()) return false;
  std::optional<Item> fact = TensorFact(name, a);
  return fact.has_value() && answer(*std::move(fact));
}

// What depends on no tensor of the graph is computed by LibTorch itself.
bool Interpreter::RunConcrete(const Node* node) {
  torch::jit::Stack stack;
  for (const Value* input : node->inputs()) {
    const Item& item = Get(input);
    if (!IsConcrete(item)) return false;
    stack.push_back(ToIValue(item, input->type()));
  }
  const torch::NoGradGuard no_grad;
  node->getOperation()(stack);
  const size_t count = node->outputs().size();
  for (size_t i = 0; i < count; ++i) {
    c10::IValue result = stack[stack.size() - count + i];
    if (result.isTensor()) result = result.toTensor().detach();
    Set(node->output(i), Item::Concrete(std::move(result)));
  }
  return true;
}

// Arithmetic and comparisons of sizes that are symbols.
bool Interpreter::RunNumbers(const Node* node, const Arguments& a) {
  static const auto& operators = *new std::map<std::string, std::string>{
      {"aten::add", "Add"},          {"aten::sub", "Sub"},
      {"aten::mul", "Mul"},          {"aten::floordiv", "Div"},
      {"aten::floor_divide", "Div"}, {"aten::remainder", "Mod"},
      {"aten::div", "Div"}};
  if (a.size() < 2) return false;
  const std::string name = NameOf(node);
  if (name == "aten::eq" || name == "aten::ne") {
    // Lists of sizes: equal where all symbols are.
    const bool lists =
        a[0].kind == Item::Kind::kList || a[1].kind == Item::Kind::kList;
    std::vector<Item> x = {a[0]}, y = {a[1]};
    if (lists) {
      x = ElementsOf(a[0]);
      y = ElementsOf(a[1]);
    }
    bool equal = x.size() == y.size();
    for (size_t i = 0; i < x.size() && equal; ++i) {
      if (!IsInteger(x[i]) || !IsInteger(y[i])) return false;
      if (SymbolOf(x[i]) == SymbolOf(y[i])) continue;
      if (x[i].kind == Item::Kind::kInt || y[i].kind == Item::Kind::kInt) {
        // Not known: an item that is no number makes an If see that.
        Set(node->output(), Item::Number(graph::kNoValue, "unknown"));
        return true;
      }
      equal = false;
    }
    Set(node->output(), Item::Concrete((name == "aten::eq") == equal));
    return true;
  }
  auto op = operators.find(name);
  if (!IsNumber(a[0]) || !IsNumber(a[1])) return false;
  auto number = [](const Item& item) {
    return item.IsConstantTensor()
               ? Item::Concrete(item.value.toTensor().item<int64_t>())
               : item;
  };
  const Item x = number(a[0]), y = number(a[1]);
  if (op == operators.end()) {
    const bool compares = name == "aten::gt" || name == "aten::lt" ||
                          name == "aten::ge" || name == "aten::le";
    if (compares) Set(node->output(), Item::Number(graph::kNoValue, "unknown"));
    return compares;
  }
  const std::string symbol =
      absl::StrCat("(", SymbolOf(x), op->second, SymbolOf(y), ")");
  Set(node->output(),
      Item::Number(
          builder_.Op(op->second, {builder_.TensorOf(x), builder_.TensorOf(y)}),
          symbol));
  return true;
}

void Interpreter::RunOperator(const Node* node, const Arguments& a) {
  const std::string name = NameOf(node);
  auto handler = handlers_.find(name);
  // "aten::relu_" writes into its first argument: afterwards everything that
  // named it means the result.
  const bool in_place = handler == handlers_.end() &&
                        absl::EndsWith(name, "_") &&
                        !absl::EndsWith(name, "__");
  if (in_place) handler = handlers_.find(name.substr(0, name.size() - 1));
  if (handler == handlers_.end()) {
    Fail("UNSUPPORTED_OPERATOR",
         absl::StrCat("the model uses an operator that condense lacks: ", name),
         PlaceOf(node));
  }
  std::vector<Item> results;
  try {
    results = handler->second(builder_, a);
  } catch (const ImportError& error) {
    if (!ErrorDetailOf(error.status).node.empty()) throw;
    Fail(std::string(ErrorReason(error.status)),
         absl::StrCat(name, ": ", error.status.message()), PlaceOf(node));
  }
  for (size_t i = 0; i < node->outputs().size(); ++i) {
    Set(node->output(i),
        i < results.size() ? results[i] : Item::Concrete(c10::IValue()));
  }
  if (in_place) Rebind(a[0], results[0]);
}

void Interpreter::Rebind(const Item& from, const Item& to) {
  if (!from.IsTensor()) return;
  auto rebind = [&](Item& item) {
    if (item.IsTensor() && item.id == from.id) item = to;
  };
  for (auto& [value, item] : values_) {
    rebind(item);
    if (item.kind != Item::Kind::kList) continue;
    for (Item& element : *item.items) rebind(element);
  }
}

}  // namespace condense::torchscript_import
