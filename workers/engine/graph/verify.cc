#include "workers/engine/graph/verify.h"

#include <algorithm>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/verify_node.h"

namespace condense::graph {
namespace {

std::string NameOf(const Graph& graph, ValueId id) {
  return absl::StrCat("'", graph.value(id).name, "'");
}

// What stands in the graph by itself: values, constants, names.
class Values {
 public:
  explicit Values(const Graph& graph) : graph_(graph) {}

  absl::Status Check() const {
    std::set<ValueId> inputs;
    for (ValueId id : graph_.inputs()) {
      if (!graph_.HasValue(id)) return BadGraph("a graph input is missing");
      if (!inputs.insert(id).second) {
        return BadGraph(absl::StrCat("input ", NameOf(graph_, id),
                                     " stands twice among the inputs"));
      }
      const Value& value = graph_.value(id);
      if (value.constant || value.producer != kNoNode) {
        return BadGraph(
            absl::StrCat("input ", NameOf(graph_, id), " is also ",
                         value.constant ? "a constant" : "a node's output"));
      }
    }
    for (ValueId id : graph_.values()) {
      CONDENSE_RETURN_IF_ERROR(CheckValue(graph_.value(id)));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status CheckValue(const Value& value) const {
    const std::string name = absl::StrCat("'", value.name, "'");
    if (graph_.FindValue(value.name) != value.id) {
      return BadGraph(absl::StrCat("two values are called ", name));
    }
    if (value.producer != kNoNode) {
      if (!graph_.HasNode(value.producer)) {
        return BadGraph(
            absl::StrCat("the node that should make ", name, " is missing"));
      }
      const Node& node = graph_.node(value.producer);
      if (std::find(node.outputs.begin(), node.outputs.end(), value.id) ==
          node.outputs.end()) {
        return BadGraph(absl::StrCat(name, " is no output of its producer"),
                        node.name);
      }
      if (value.constant) {
        return BadGraph(
            absl::StrCat(name, " is a constant and a node's output"),
            node.name);
      }
    }
    for (const Dim& dim : value.shape.value_or(Shape())) {
      if (dim.value < Dim::kUnknown || (dim.known() && !dim.symbol.empty())) {
        return BadGraph(absl::StrCat(name, " has a bad dimension"));
      }
    }
    return value.constant ? CheckConstant(value) : absl::OkStatus();
  }

  static absl::Status CheckConstant(const Value& value) {
    const Tensor& tensor = *value.constant;
    const std::string name = absl::StrCat("constant '", value.name, "'");
    if (tensor.dtype() != value.dtype || value.dtype == DType::kUndefined) {
      return BadGraph(absl::StrCat(name, " has type ", DTypeName(value.dtype),
                                   ", its tensor ", DTypeName(tensor.dtype())));
    }
    if (value.shape != Shape(tensor.dims().begin(), tensor.dims().end())) {
      return BadGraph(absl::StrCat(name, " has shape ", ShapeText(value.shape),
                                   ", its tensor [",
                                   absl::StrJoin(tensor.dims(), ", "), "]"));
    }
    const bool strings = tensor.dtype() == DType::kString;
    const int64_t wanted =
        strings ? tensor.num_elements()
                : Tensor::ByteSize(tensor.dtype(), tensor.dims());
    const auto have = static_cast<int64_t>(strings ? tensor.strings().size()
                                                   : tensor.bytes().size());
    return have == wanted
               ? absl::OkStatus()
               : BadGraph(absl::StrCat(name, " holds ", have,
                                       strings ? " elements" : " bytes",
                                       " for ", wanted));
  }

  const Graph& graph_;
};

// A cycle through which the node depends on itself, "a -> b -> a"; empty if
// there is none.
std::string CycleAbove(const Graph& graph, NodeId from) {
  enum : char { kNew, kOpen, kDone };
  std::vector<char> state(graph.node_limit(), kNew);
  // Open nodes, each with the next of its inputs to look at.
  std::vector<std::pair<NodeId, size_t>> path = {{from, 0}};
  state[from] = kOpen;
  while (!path.empty()) {
    auto& [id, next] = path.back();
    const Node& node = graph.node(id);
    if (next == node.inputs.size()) {
      state[id] = kDone;
      path.pop_back();
      continue;
    }
    const ValueId input = node.inputs[next++];
    const NodeId producer =
        graph.HasValue(input) ? graph.value(input).producer : kNoNode;
    if (!graph.HasNode(producer) || state[producer] == kDone) continue;
    if (state[producer] == kNew) {
      state[producer] = kOpen;
      path.emplace_back(producer, 0);
      continue;
    }
    std::string text = absl::StrCat("'", graph.node(producer).name, "'");
    for (size_t i = path.size(); i-- > 0;) {
      absl::StrAppend(&text, " -> '", graph.node(path[i].first).name, "'");
      if (path[i].first == producer) break;
    }
    return text;
  }
  return "";
}

// Nodes in their order: what each reads and makes.
class Order {
 public:
  explicit Order(const Graph& graph)
      : graph_(graph), made_(graph.value_limit(), false) {
    for (ValueId id : graph.inputs()) made_[id] = true;
    for (ValueId id : graph.values()) {
      if (graph.IsConstant(id)) made_[id] = true;
    }
  }

  absl::Status Check(bool needs_outputs) {
    for (NodeId id : graph_.order()) {
      const Node& node = graph_.node(id);
      if (graph_.FindNode(node.name) != id) {
        return BadGraph("two nodes have this name", node.name);
      }
      for (ValueId input : node.inputs) {
        if (input != kNoValue) CONDENSE_RETURN_IF_ERROR(Reads(node, input));
      }
      for (ValueId output : node.outputs) {
        if (output != kNoValue) CONDENSE_RETURN_IF_ERROR(Makes(node, output));
      }
    }
    if (needs_outputs && graph_.outputs().empty()) {
      return BadGraph("the graph has no output");
    }
    for (ValueId id : graph_.outputs()) {
      if (!graph_.HasValue(id)) return BadGraph("a graph output is missing");
      if (!made_[id]) {
        return BadGraph(absl::StrCat("nothing makes the graph's output ",
                                     NameOf(graph_, id)));
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Reads(const Node& node, ValueId id) const {
    if (!graph_.HasValue(id)) {
      return BadGraph(absl::StrCat("an input (value ", id, ") is missing"),
                      node.name);
    }
    if (made_[id]) return absl::OkStatus();
    const NodeId producer = graph_.value(id).producer;
    if (!graph_.HasNode(producer)) {
      return BadGraph(absl::StrCat("nothing makes ", NameOf(graph_, id)),
                      node.name);
    }
    const std::string cycle = CycleAbove(graph_, node.id);
    if (!cycle.empty()) {
      return BadGraph(absl::StrCat("the nodes form a cycle: ", cycle),
                      node.name);
    }
    return BadGraph(absl::StrCat(NameOf(graph_, id), " is read before node '",
                                 graph_.node(producer).name, "' makes it"),
                    node.name);
  }

  absl::Status Makes(const Node& node, ValueId id) {
    if (!graph_.HasValue(id)) {
      return BadGraph(absl::StrCat("an output (value ", id, ") is missing"),
                      node.name);
    }
    if (made_[id]) {
      return BadGraph(absl::StrCat(NameOf(graph_, id), " is made twice"),
                      node.name);
    }
    if (graph_.value(id).producer != node.id) {
      return BadGraph(absl::StrCat("output ", NameOf(graph_, id),
                                   " names another producer"),
                      node.name);
    }
    made_[id] = true;
    return absl::OkStatus();
  }

  const Graph& graph_;
  std::vector<bool> made_;
};

bool Contradicts(const Shape& a, const Shape& b) {
  if (a.size() != b.size()) return true;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].known() && b[i].known() && a[i].value != b[i].value) return true;
  }
  return false;
}

// The graph beside a copy of which the shapes were inferred anew.
absl::Status CompareTypes(const Graph& graph, const Graph& inferred) {
  for (NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    for (ValueId output : node.outputs) {
      if (output == kNoValue) continue;
      const Value& is = graph.value(output);
      const Value& should = inferred.value(output);
      if (is.dtype != DType::kUndefined && is.dtype != should.dtype) {
        return BadGraph(
            absl::StrCat("'", is.name, "' has type ", DTypeName(is.dtype), ", ",
                         node.op, " makes ", DTypeName(should.dtype)),
            node.name);
      }
      if (is.shape && should.shape && Contradicts(*is.shape, *should.shape)) {
        return BadGraph(
            absl::StrCat("'", is.name, "' has shape ", ShapeText(is.shape),
                         ", ", node.op, " makes ", ShapeText(should.shape)),
            node.name);
      }
    }
    for (const auto& [key, body] : BodiesOf(node)) {
      CONDENSE_RETURN_IF_ERROR(
          CompareTypes(*body, *BodiesOf(inferred.node(id)).at(key)));
    }
  }
  return absl::OkStatus();
}

absl::Status VerifyStructure(const Graph& graph, bool needs_outputs) {
  CONDENSE_RETURN_IF_ERROR(Values(graph).Check());
  CONDENSE_RETURN_IF_ERROR(Order(graph).Check(needs_outputs));
  for (NodeId id : graph.order()) {
    CONDENSE_RETURN_IF_ERROR(VerifyNode(graph, graph.node(id)));
    for (const auto& [key, body] : BodiesOf(graph.node(id))) {
      CONDENSE_RETURN_IF_ERROR(VerifyStructure(*body, /*needs_outputs=*/false));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Verify(const Graph& graph, const VerifyOptions& options) {
  CONDENSE_RETURN_IF_ERROR(VerifyStructure(graph, /*needs_outputs=*/true));
  if (!options.types) return absl::OkStatus();
  Graph inferred = graph;
  CONDENSE_RETURN_IF_ERROR(InferShapes(inferred));
  return CompareTypes(graph, inferred);
}

}  // namespace condense::graph
