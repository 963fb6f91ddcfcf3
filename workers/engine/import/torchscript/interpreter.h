#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_TORCHSCRIPT_INTERPRETER_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_TORCHSCRIPT_INTERPRETER_H_

#include <torch/script.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"

namespace condense::torchscript_import {

// What a TorchScript value is while its program is interpreted.
struct Item {
  enum class Kind {
    // Known now: numbers, strings, None, modules, constant tensors.
    kConcrete,
    // A tensor of the graph.
    kTensor,
    // A number that depends on a symbolic size: a scalar int64 of the graph.
    kInt,
    // A list or tuple of items.
    kList,
  };
  Kind kind = Kind::kConcrete;
  c10::IValue value;
  graph::ValueId id = graph::kNoValue;
  // kInt: equal text means equal numbers ("N", "(N*4)").
  std::string symbol;
  // kList; shared because TorchScript lists are references.
  std::shared_ptr<std::vector<Item>> items;

  static Item Concrete(c10::IValue value) {
    Item item;
    item.value = std::move(value);
    return item;
  }
  static Item Tensor(graph::ValueId id) {
    Item item;
    item.kind = Kind::kTensor;
    item.id = id;
    return item;
  }
  static Item Number(graph::ValueId id, std::string symbol) {
    Item item;
    item.kind = Kind::kInt;
    item.id = id;
    item.symbol = std::move(symbol);
    return item;
  }
  static Item List(std::vector<Item> items) {
    Item item;
    item.kind = Kind::kList;
    item.items = std::make_shared<std::vector<Item>>(std::move(items));
    return item;
  }
  bool IsTensor() const { return kind == Kind::kTensor; }
  bool IsNone() const { return kind == Kind::kConcrete && value.isNone(); }
  bool IsConstantTensor() const {
    return kind == Kind::kConcrete && value.isTensor();
  }
};

// The graph that is being made, with what operators need to add to it. Errors
// in the program are thrown as ImportError: the interpreter turns them into a
// Status; nothing else throws them.
struct ImportError {
  absl::Status status;
};

class Builder {
 public:
  graph::Graph graph;
  // Paths of parameters and buffers by their tensors.
  std::map<const void*, std::string> names;

  // Adds a node and infers its shapes; its outputs.
  std::vector<graph::ValueId> Node(
      const std::string& op, std::vector<graph::ValueId> inputs, int outputs,
      std::map<std::string, graph::Attribute> attrs = {});
  graph::ValueId Op(const std::string& op, std::vector<graph::ValueId> inputs,
                    std::map<std::string, graph::Attribute> attrs = {});
  // The same as a tensor item.
  Item Result(const std::string& op, std::vector<graph::ValueId> inputs,
              std::map<std::string, graph::Attribute> attrs = {}) {
    return Item::Tensor(Op(op, std::move(inputs), std::move(attrs)));
  }
  graph::ValueId Ints(const std::vector<int64_t>& values);
  graph::ValueId IntScalar(int64_t value);
  graph::ValueId FloatScalar(double value);
  // A constant of the type of `like`.
  graph::ValueId ScalarLike(double value, graph::ValueId like);
  graph::ValueId Constant(const torch::Tensor& tensor);
  graph::ValueId NamedConstant(const std::string& name,
                               const torch::Tensor& tensor);
  // The path of a parameter, or "constant".
  std::string NameOf(const torch::Tensor& tensor) const;

  // A tensor of the graph, also for constant tensors and numbers.
  graph::ValueId TensorOf(const Item& item);
  // kNoValue for None.
  graph::ValueId OptionalTensor(const Item& item);
  // TensorOf, a number with the type of `like`.
  graph::ValueId Operand(const Item& item, graph::ValueId like);

  graph::DType DTypeOf(graph::ValueId id) const {
    return graph.value(id).dtype;
  }
  // ImportError UNKNOWN_INPUT_SHAPE where it is not known.
  const graph::Shape& ShapeOf(graph::ValueId id) const;
  int64_t RankOf(graph::ValueId id) const {
    return static_cast<int64_t>(ShapeOf(id).size());
  }
  int64_t AxisOf(graph::ValueId id, int64_t axis) const {
    return axis < 0 ? axis + RankOf(id) : axis;
  }
  // Size `axis` of a tensor as a number that may be symbolic.
  Item SizeOf(graph::ValueId id, int64_t axis);
  // A list of numbers as an input of an operator: a constant where all are
  // known.
  graph::ValueId SizesInput(const std::vector<Item>& sizes);
  graph::ValueId Cast(graph::ValueId id, graph::DType dtype);

 private:
  std::map<const void*, graph::ValueId> constants_;
  // Keeps the tensors alive whose addresses the maps hold.
  std::vector<torch::Tensor> kept_;
};

// Thrown for what a program may not do.
[[noreturn]] void Fail(const std::string& reason, const std::string& message,
                       const std::string& node = "");

// The arguments of one operator.
class Arguments {
 public:
  Arguments(const torch::jit::Node* node, std::vector<Item> items)
      : node_(node), items_(std::move(items)) {}

  size_t size() const { return items_.size(); }
  const Item& operator[](size_t i) const;
  // A known number, list or string; ImportError if it is not known.
  int64_t Int(size_t i) const;
  double Double(size_t i) const;
  bool Bool(size_t i) const;
  std::string String(size_t i) const;
  std::vector<int64_t> Ints(size_t i) const;
  // The elements of a list.
  std::vector<Item> List(size_t i) const;
  bool IsNone(size_t i) const { return i >= size() || items_[i].IsNone(); }
  const torch::jit::Node* node() const { return node_; }

 private:
  const torch::jit::Node* node_;
  std::vector<Item> items_;
};

// Adds what one operator computes; its results.
using Handler = std::function<std::vector<Item>(Builder&, const Arguments&)>;
using HandlerTable = std::map<std::string, Handler>;

void AddMathHandlers(HandlerTable* table);
void AddNetworkHandlers(HandlerTable* table);
void AddShapeHandlers(HandlerTable* table);
void AddFillHandlers(HandlerTable* table);
void AddSequenceHandlers(HandlerTable* table);

// The elements of a list item or of a concrete list.
std::vector<Item> ElementsOf(const Item& item);
graph::DType DTypeOfScalarType(int64_t scalar_type);

// Runs the program of a module on tensors of a graph. Not thread-safe.
class Interpreter {
 public:
  explicit Interpreter(Builder* builder);

  // Interprets the block; its outputs.
  std::vector<Item> RunBlock(const torch::jit::Block* block);
  void Set(const torch::jit::Value* value, Item item);

 private:
  const Item& Get(const torch::jit::Value* value) const;
  void RunNode(const torch::jit::Node* node);
  void RunIf(const torch::jit::Node* node);
  void RunLoop(const torch::jit::Node* node);
  bool RunConcrete(const torch::jit::Node* node);
  bool RunStructure(const torch::jit::Node* node);
  bool RunNumbers(const torch::jit::Node* node, const Arguments& arguments);
  bool RunListQuery(const std::string& name, const Arguments& arguments,
                    const torch::jit::Node* node);
  bool RunQuery(const torch::jit::Node* node, const Arguments& arguments);
  std::optional<Item> TensorFact(const std::string& name,
                                 const Arguments& arguments);
  void RunOperator(const torch::jit::Node* node, const Arguments& arguments);
  void Rebind(const Item& from, const Item& to);

  Builder& builder_;
  HandlerTable handlers_;
  std::unordered_map<const torch::jit::Value*, Item> values_;
  // Of all loops together.
  int64_t turns_ = 0;
};

}  // namespace condense::torchscript_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_TORCHSCRIPT_INTERPRETER_H_
