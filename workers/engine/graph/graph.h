#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_GRAPH_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_GRAPH_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "workers/engine/graph/tensor.h"

namespace condense::graph {

// One dimension: a number, a symbol ("N", the batch), or neither (unknown).
struct Dim {
  static constexpr int64_t kUnknown = -1;

  Dim() = default;
  Dim(int64_t v) : value(v) {}  // NOLINT: a number is a dimension
  static Dim Symbol(absl::string_view name) {
    Dim dim;
    dim.symbol = std::string(name);
    return dim;
  }
  bool known() const { return value >= 0; }
  friend bool operator==(const Dim&, const Dim&) = default;

  int64_t value = kUnknown;
  // Set only while value is kUnknown. Equal symbols are equal sizes.
  std::string symbol;
};

using Shape = std::vector<Dim>;
// The dimensions as numbers, or nullopt if one is not known.
std::optional<std::vector<int64_t>> KnownDims(const Shape& shape);
// "[N, 3, 32, 32]"; "?" for an unknown dimension.
std::string ShapeText(const std::optional<Shape>& shape);

using ValueId = int32_t;
using NodeId = int32_t;
// An omitted optional input or output.
inline constexpr ValueId kNoValue = -1;
inline constexpr NodeId kNoNode = -1;

class Graph;

// An ONNX attribute. Subgraphs are owned by their node and copied with it.
using Attribute =
    std::variant<int64_t, float, std::string, Tensor, std::vector<int64_t>,
                 std::vector<float>, std::vector<std::string>,
                 std::shared_ptr<const Graph>>;

// A tensor that flows through the graph, or a constant.
struct Value {
  ValueId id = kNoValue;
  // Unique within the graph, as the model had it.
  std::string name;
  DType dtype = DType::kUndefined;
  // Absent until it is known (shape inference fills it in).
  std::optional<Shape> shape;
  // kNoNode for graph inputs and constants.
  NodeId producer = kNoNode;
  // Set for constants: weights, running statistics, shape arithmetic.
  std::optional<Tensor> constant;
};

// One operation with the semantics of ONNX operator `op` at the graph's opset,
// or at the first opset that has it (Gelu, GroupNormalization and others are
// newer than kOpset).
// If, Loop and Scan hold their bodies as attributes. What a body reads from
// outside are inputs of it behind its formal ones, the same for all bodies of
// a node, and inputs of the node behind its own; "captures" counts them.
// Domain "condense" holds operators of our own:
//   FakeQuantize(x, scale, zero_point) -> y, the simulation of one quantizer.
//     y = (clip(round_half_even(x / scale) + zero_point, qmin, qmax) -
//     zero_point) * scale scale: float32, zero_point: int32; both [] (per
//     tensor) or [C] along `axis`. Attributes: qmin, qmax (int), axis (int;
//     absent: per tensor), dtype ("int8", "uint8", ...: storage in the file),
//     role ("weight" or "activation").
struct Node {
  NodeId id = kNoNode;
  // Unique within the graph; that of the first output if the model gave none.
  std::string name;
  std::string op;
  // "" is ONNX's default domain.
  std::string domain;
  // May contain kNoValue for omitted ones.
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::map<std::string, Attribute> attrs;

  ValueId input(size_t i) const {
    return i < inputs.size() ? inputs[i] : kNoValue;
  }
  // The attribute, or `fallback` if it is absent or of another type.
  int64_t Int(const std::string& key, int64_t fallback) const;
  float Float(const std::string& key, float fallback) const;
  std::string String(const std::string& key, absl::string_view fallback) const;
  std::vector<int64_t> Ints(const std::string& key,
                            std::vector<int64_t> fallback = {}) const;
  bool Has(const std::string& key) const { return attrs.count(key) > 0; }
  bool Is(absl::string_view op_name) const {
    return domain.empty() && op == op_name;
  }
  bool IsFakeQuantize() const {
    return domain == "condense" && op == "FakeQuantize";
  }
};

// A model: nodes in an order in which every value is produced before it is
// used, with ONNX semantics. Ids are stable: they are never used again after a
// removal. Copyable (copies share the bytes of tensors). Not thread-safe for
// writing; may be read from many threads.
class Graph {
 public:
  // --- Building ---------------------------------------------------------
  // Names that are taken get a suffix ("name_1"); an empty name is made up.
  ValueId AddInput(absl::string_view name, DType dtype,
                   std::optional<Shape> shape);
  ValueId AddConstant(absl::string_view name, Tensor tensor);
  // A value whose producer comes later (or an outer scope's, in subgraphs).
  ValueId AddValue(absl::string_view name, DType dtype = DType::kUndefined,
                   std::optional<Shape> shape = std::nullopt);
  // Appends a node with one fresh output per name; shapes and types of outputs
  // are unknown until shape inference.
  NodeId AddNode(absl::string_view op, absl::string_view name,
                 std::vector<ValueId> inputs,
                 const std::vector<std::string>& output_names,
                 std::map<std::string, Attribute> attrs = {},
                 absl::string_view domain = "");
  // As AddNode for one output, placed right before or after another node in
  // the order.
  NodeId InsertBefore(NodeId where, absl::string_view op,
                      absl::string_view name, std::vector<ValueId> inputs,
                      absl::string_view output_name,
                      std::map<std::string, Attribute> attrs = {},
                      absl::string_view domain = "");
  NodeId InsertAfter(NodeId where, absl::string_view op, absl::string_view name,
                     std::vector<ValueId> inputs, absl::string_view output_name,
                     std::map<std::string, Attribute> attrs = {},
                     absl::string_view domain = "");
  void AddOutput(ValueId value);

  // --- Reading ----------------------------------------------------------
  const std::vector<ValueId>& inputs() const { return inputs_; }
  const std::vector<ValueId>& outputs() const { return outputs_; }
  // Nodes in execution order.
  const std::vector<NodeId>& order() const { return order_; }
  bool HasNode(NodeId id) const;
  bool HasValue(ValueId id) const;
  const Node& node(NodeId id) const { return *nodes_[id]; }
  const Value& value(ValueId id) const { return *values_[id]; }
  // Also values that nothing uses any more, until RemoveDeadValues.
  std::vector<ValueId> values() const;
  // One more than the largest id ever given: sizes tables indexed by id.
  int32_t value_limit() const { return static_cast<int32_t>(values_.size()); }
  int32_t node_limit() const { return static_cast<int32_t>(nodes_.size()); }
  // kNoValue / kNoNode when there is none.
  ValueId FindValue(absl::string_view name) const;
  NodeId FindNode(absl::string_view name) const;
  bool IsConstant(ValueId id) const {
    return id != kNoValue && value(id).constant.has_value();
  }
  // The tensor of a constant, or nullptr.
  const Tensor* ConstantOf(ValueId id) const;
  bool IsOutput(ValueId id) const;
  // Nodes that read the value, in execution order, each once. Linear in the
  // graph: build ConsumerTable for many questions.
  std::vector<NodeId> Consumers(ValueId id) const;
  // Consumers of every value, indexed by ValueId.
  std::vector<std::vector<NodeId>> ConsumerTable() const;

  // --- Rewriting --------------------------------------------------------
  Node& mutable_node(NodeId id) { return *nodes_[id]; }
  Value& mutable_value(ValueId id) { return *values_[id]; }
  // Replaces the tensor of a constant; dtype and shape follow.
  void SetConstant(ValueId id, Tensor tensor);
  // Makes every reader of `from` (and the graph's outputs, when
  // `also_outputs`) read `to` instead.
  void ReplaceUses(ValueId from, ValueId to, bool also_outputs = true);
  // Removes the node; its outputs stay as values without a producer.
  void RemoveNode(NodeId id);
  // Renames, keeping names unique: a value that has `name` already gets a
  // suffix.
  void RenameValue(ValueId id, absl::string_view name);
  void ReplaceInput(size_t index, ValueId id) { inputs_[index] = id; }
  void SetInputs(std::vector<ValueId> ids) { inputs_ = std::move(ids); }
  void ReplaceOutput(size_t index, ValueId id) { outputs_[index] = id; }
  // Removes values that no node, input or output refers to.
  void RemoveDeadValues();
  // Sorts the nodes so that producers come first (stable). False: a cycle.
  bool SortTopologically();

  // --- About the model --------------------------------------------------
  std::string name = "model";
  std::string doc;
  // Of the default domain: which version of the operators the nodes follow.
  // The importer brings what it reads to kOpset.
  int opset = kOpset;
  // ONNX metadata_props, kept through export.
  std::map<std::string, std::string> metadata;

  // The operator set that graphs follow inside the engine.
  static constexpr int kOpset = 17;

  Graph() = default;
  Graph(const Graph& other);
  Graph& operator=(const Graph& other);
  Graph(Graph&&) = default;
  Graph& operator=(Graph&&) = default;

 private:
  std::string UniqueValueName(absl::string_view name) const;
  std::string UniqueNodeName(absl::string_view name) const;
  NodeId NewNode(absl::string_view op, absl::string_view name,
                 std::vector<ValueId> inputs,
                 const std::vector<std::string>& output_names,
                 std::map<std::string, Attribute> attrs,
                 absl::string_view domain);

  // Owned; null where removed.
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::unique_ptr<Value>> values_;
  std::map<std::string, ValueId> value_names_;
  std::map<std::string, NodeId> node_names_;
  std::vector<NodeId> order_;
  std::vector<ValueId> inputs_;
  std::vector<ValueId> outputs_;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_GRAPH_H_
