#include "workers/engine/graph/graph.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace condense::graph {
namespace {

template <typename T>
T AttributeOr(const std::map<std::string, Attribute>& attrs,
              const std::string& key, T fallback) {
  auto it = attrs.find(key);
  if (it == attrs.end()) return fallback;
  const T* value = std::get_if<T>(&it->second);
  return value == nullptr ? fallback : *value;
}

// `wanted`, or with the first free number behind it: found by doubling and
// halving, as a loop that is unrolled asks for the same name again and again.
template <typename Names>
std::string Unique(const Names& names, absl::string_view wanted,
                   absl::string_view made_up) {
  const std::string base(wanted.empty() ? made_up : wanted);
  if (!wanted.empty() && names.count(base) == 0) return base;
  auto free = [&](size_t i) {
    return names.count(absl::StrCat(base, "_", i)) == 0;
  };
  size_t low = wanted.empty() ? names.size() : 1;
  if (free(low)) return absl::StrCat(base, "_", low);
  size_t step = 1;
  while (!free(low + step)) {
    low += step;
    step *= 2;
  }
  // `low` is taken, `low + step` is free.
  while (step > 1) {
    step /= 2;
    if (!free(low + step)) low += step;
  }
  return absl::StrCat(base, "_", low + 1);
}

}  // namespace

std::optional<std::vector<int64_t>> KnownDims(const Shape& shape) {
  std::vector<int64_t> dims;
  for (const Dim& dim : shape) {
    if (!dim.known()) return std::nullopt;
    dims.push_back(dim.value);
  }
  return dims;
}

std::string ShapeText(const std::optional<Shape>& shape) {
  if (!shape.has_value()) return "?";
  return absl::StrCat("[",
                      absl::StrJoin(*shape, ", ",
                                    [](std::string* out, const Dim& dim) {
                                      if (dim.known()) {
                                        absl::StrAppend(out, dim.value);
                                      } else {
                                        absl::StrAppend(out, dim.symbol.empty()
                                                                 ? "?"
                                                                 : dim.symbol);
                                      }
                                    }),
                      "]");
}

int64_t Node::Int(const std::string& key, int64_t fallback) const {
  return AttributeOr<int64_t>(attrs, key, fallback);
}
float Node::Float(const std::string& key, float fallback) const {
  return AttributeOr<float>(attrs, key, fallback);
}
std::string Node::String(const std::string& key,
                         absl::string_view fallback) const {
  return AttributeOr<std::string>(attrs, key, std::string(fallback));
}
std::vector<int64_t> Node::Ints(const std::string& key,
                                std::vector<int64_t> fallback) const {
  return AttributeOr<std::vector<int64_t>>(attrs, key, std::move(fallback));
}

Graph::Graph(const Graph& other) { *this = other; }

Graph& Graph::operator=(const Graph& other) {
  if (this == &other) return *this;
  nodes_.clear();
  for (const auto& node : other.nodes_) {
    nodes_.push_back(node ? std::make_unique<Node>(*node) : nullptr);
  }
  values_.clear();
  for (const auto& value : other.values_) {
    values_.push_back(value ? std::make_unique<Value>(*value) : nullptr);
  }
  value_names_ = other.value_names_;
  node_names_ = other.node_names_;
  order_ = other.order_;
  inputs_ = other.inputs_;
  outputs_ = other.outputs_;
  name = other.name;
  doc = other.doc;
  opset = other.opset;
  metadata = other.metadata;
  return *this;
}

std::string Graph::UniqueValueName(absl::string_view wanted) const {
  return Unique(value_names_, wanted, "value");
}

std::string Graph::UniqueNodeName(absl::string_view wanted) const {
  return Unique(node_names_, wanted, "node");
}

ValueId Graph::AddValue(absl::string_view name, DType dtype,
                        std::optional<Shape> shape) {
  auto value = std::make_unique<Value>();
  value->id = value_limit();
  value->name = UniqueValueName(name);
  value->dtype = dtype;
  value->shape = std::move(shape);
  value_names_[value->name] = value->id;
  values_.push_back(std::move(value));
  return values_.back()->id;
}

ValueId Graph::AddInput(absl::string_view name, DType dtype,
                        std::optional<Shape> shape) {
  const ValueId id = AddValue(name, dtype, std::move(shape));
  inputs_.push_back(id);
  return id;
}

ValueId Graph::AddConstant(absl::string_view name, Tensor tensor) {
  const ValueId id = AddValue(name);
  SetConstant(id, std::move(tensor));
  return id;
}

NodeId Graph::NewNode(absl::string_view op, absl::string_view name,
                      std::vector<ValueId> inputs,
                      const std::vector<std::string>& output_names,
                      std::map<std::string, Attribute> attrs,
                      absl::string_view domain) {
  auto node = std::make_unique<Node>();
  node->id = node_limit();
  node->op = std::string(op);
  node->domain = std::string(domain);
  node->inputs = std::move(inputs);
  node->attrs = std::move(attrs);
  for (const std::string& output : output_names) {
    const ValueId id = AddValue(output);
    mutable_value(id).producer = node->id;
    node->outputs.push_back(id);
  }
  absl::string_view wanted = name;
  if (wanted.empty() && !node->outputs.empty()) {
    wanted = value(node->outputs[0]).name;
  }
  node->name = UniqueNodeName(wanted);
  node_names_[node->name] = node->id;
  nodes_.push_back(std::move(node));
  return nodes_.back()->id;
}

NodeId Graph::AddNode(absl::string_view op, absl::string_view name,
                      std::vector<ValueId> inputs,
                      const std::vector<std::string>& output_names,
                      std::map<std::string, Attribute> attrs,
                      absl::string_view domain) {
  const NodeId id = NewNode(op, name, std::move(inputs), output_names,
                            std::move(attrs), domain);
  order_.push_back(id);
  return id;
}

NodeId Graph::InsertBefore(NodeId where, absl::string_view op,
                           absl::string_view name, std::vector<ValueId> inputs,
                           absl::string_view output_name,
                           std::map<std::string, Attribute> attrs,
                           absl::string_view domain) {
  const NodeId id =
      NewNode(op, name, std::move(inputs), {std::string(output_name)},
              std::move(attrs), domain);
  order_.insert(std::find(order_.begin(), order_.end(), where), id);
  return id;
}

NodeId Graph::InsertAfter(NodeId where, absl::string_view op,
                          absl::string_view name, std::vector<ValueId> inputs,
                          absl::string_view output_name,
                          std::map<std::string, Attribute> attrs,
                          absl::string_view domain) {
  const NodeId id =
      NewNode(op, name, std::move(inputs), {std::string(output_name)},
              std::move(attrs), domain);
  auto it = std::find(order_.begin(), order_.end(), where);
  CONDENSE_CHECK(it != order_.end());
  order_.insert(it + 1, id);
  return id;
}

void Graph::AddOutput(ValueId value) { outputs_.push_back(value); }

bool Graph::HasNode(NodeId id) const {
  return id >= 0 && id < node_limit() && nodes_[id] != nullptr;
}

bool Graph::HasValue(ValueId id) const {
  return id >= 0 && id < value_limit() && values_[id] != nullptr;
}

std::vector<ValueId> Graph::values() const {
  std::vector<ValueId> ids;
  for (const auto& value : values_) {
    if (value) ids.push_back(value->id);
  }
  return ids;
}

ValueId Graph::FindValue(absl::string_view wanted) const {
  auto it = value_names_.find(std::string(wanted));
  return it == value_names_.end() ? kNoValue : it->second;
}

NodeId Graph::FindNode(absl::string_view wanted) const {
  auto it = node_names_.find(std::string(wanted));
  return it == node_names_.end() ? kNoNode : it->second;
}

const Tensor* Graph::ConstantOf(ValueId id) const {
  return IsConstant(id) ? &*value(id).constant : nullptr;
}

bool Graph::IsOutput(ValueId id) const {
  return std::find(outputs_.begin(), outputs_.end(), id) != outputs_.end();
}

std::vector<NodeId> Graph::Consumers(ValueId id) const {
  std::vector<NodeId> consumers;
  for (NodeId node_id : order_) {
    const auto& inputs = node(node_id).inputs;
    if (std::find(inputs.begin(), inputs.end(), id) != inputs.end()) {
      consumers.push_back(node_id);
    }
  }
  return consumers;
}

std::vector<std::vector<NodeId>> Graph::ConsumerTable() const {
  std::vector<std::vector<NodeId>> table(values_.size());
  for (NodeId node_id : order_) {
    for (ValueId input : node(node_id).inputs) {
      if (input == kNoValue) continue;
      if (table[input].empty() || table[input].back() != node_id) {
        table[input].push_back(node_id);
      }
    }
  }
  return table;
}

void Graph::SetConstant(ValueId id, Tensor tensor) {
  Value& value = mutable_value(id);
  value.dtype = tensor.dtype();
  value.shape = Shape(tensor.dims().begin(), tensor.dims().end());
  value.constant = std::move(tensor);
}

void Graph::ReplaceUses(ValueId from, ValueId to, bool also_outputs) {
  for (NodeId id : order_) {
    auto& inputs = mutable_node(id).inputs;
    std::replace(inputs.begin(), inputs.end(), from, to);
  }
  if (also_outputs) std::replace(outputs_.begin(), outputs_.end(), from, to);
}

void Graph::RemoveNode(NodeId id) {
  for (ValueId output : node(id).outputs) {
    if (output != kNoValue) mutable_value(output).producer = kNoNode;
  }
  node_names_.erase(node(id).name);
  order_.erase(std::find(order_.begin(), order_.end(), id));
  nodes_[id].reset();
}

void Graph::RenameValue(ValueId id, absl::string_view wanted) {
  const std::string target(wanted);
  Value& renamed = mutable_value(id);
  if (renamed.name == target) return;
  value_names_.erase(renamed.name);
  auto taken = value_names_.find(target);
  if (taken != value_names_.end()) {
    Value& other = mutable_value(taken->second);
    other.name = UniqueValueName(target);
    value_names_[other.name] = other.id;
  }
  renamed.name = target;
  value_names_[target] = id;
}

void Graph::RemoveDeadValues() {
  std::vector<bool> used(values_.size(), false);
  auto use = [&](ValueId id) {
    if (id != kNoValue) used[id] = true;
  };
  for (ValueId id : inputs_) use(id);
  for (ValueId id : outputs_) use(id);
  for (NodeId id : order_) {
    for (ValueId value : node(id).inputs) use(value);
    for (ValueId value : node(id).outputs) use(value);
  }
  for (size_t i = 0; i < values_.size(); ++i) {
    if (values_[i] && !used[i]) {
      value_names_.erase(values_[i]->name);
      values_[i].reset();
    }
  }
}

bool Graph::SortTopologically() {
  std::vector<int> missing(nodes_.size(), 0);
  const auto consumers = ConsumerTable();
  for (NodeId id : order_) {
    for (ValueId output : node(id).outputs) {
      if (output == kNoValue) continue;
      for (NodeId consumer : consumers[output]) ++missing[consumer];
    }
  }
  std::vector<NodeId> sorted;
  // A heap of ready nodes by their place in the old order keeps it stable.
  std::vector<int> place(nodes_.size(), 0);
  for (size_t i = 0; i < order_.size(); ++i) place[order_[i]] = i;
  auto later = [&](NodeId a, NodeId b) { return place[a] > place[b]; };
  std::vector<NodeId> ready;
  for (NodeId id : order_) {
    if (missing[id] == 0) ready.push_back(id);
  }
  std::make_heap(ready.begin(), ready.end(), later);
  while (!ready.empty()) {
    std::pop_heap(ready.begin(), ready.end(), later);
    const NodeId id = ready.back();
    ready.pop_back();
    sorted.push_back(id);
    for (ValueId output : node(id).outputs) {
      if (output == kNoValue) continue;
      for (NodeId consumer : consumers[output]) {
        if (--missing[consumer] > 0) continue;
        ready.push_back(consumer);
        std::push_heap(ready.begin(), ready.end(), later);
      }
    }
  }
  if (sorted.size() != order_.size()) return false;
  order_ = std::move(sorted);
  return true;
}

}  // namespace condense::graph
