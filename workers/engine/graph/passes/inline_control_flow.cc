#include "workers/engine/graph/passes/inline_control_flow.h"

#include <algorithm>
#include <map>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/graph/scalar_value.h"

namespace condense::graph {
namespace {

const Graph* BodyOf(const Node& node, const char* key) {
  auto it = node.attrs.find(key);
  const auto* body =
      it == node.attrs.end()
          ? nullptr
          : std::get_if<std::shared_ptr<const Graph>>(&it->second);
  return body == nullptr ? nullptr : body->get();
}

// Copies bodies of one node into the graph around it, behind all others.
class Inliner {
 public:
  Inliner(Graph* graph, const Node& node) : graph_(*graph), node_(node) {}

  // What the body's outputs are in the graph, with `inputs` for its inputs.
  // `prefix` stands before names.
  std::vector<ValueId> Copy(const Graph& body,
                            const std::vector<ValueId>& inputs,
                            const std::string& prefix) {
    std::map<ValueId, ValueId> here;
    for (size_t i = 0; i < inputs.size(); ++i)
      here[body.inputs()[i]] = inputs[i];
    auto at = [&](ValueId id) {
      if (id == kNoValue) return kNoValue;
      auto [it, fresh] = here.emplace(id, kNoValue);
      if (fresh) it->second = Constant(body, id);
      return it->second;
    };
    for (NodeId id : body.order()) {
      const Node& node = body.node(id);
      std::vector<ValueId> arguments;
      for (ValueId input : node.inputs) arguments.push_back(at(input));
      std::vector<std::string> names;
      for (ValueId output : node.outputs) {
        names.push_back(output == kNoValue
                            ? ""
                            : absl::StrCat(prefix, body.value(output).name));
      }
      const NodeId copy =
          graph_.AddNode(node.op, absl::StrCat(prefix, node.name),
                         std::move(arguments), names, node.attrs, node.domain);
      for (size_t i = 0; i < node.outputs.size(); ++i) {
        ValueId& output = graph_.mutable_node(copy).outputs[i];
        if (node.outputs[i] == kNoValue) {
          graph_.mutable_value(output).producer = kNoNode;
          output = kNoValue;
          continue;
        }
        // The type is certain; the shape may be that of other turns.
        graph_.mutable_value(output).dtype = body.value(node.outputs[i]).dtype;
        here[node.outputs[i]] = output;
      }
    }
    std::vector<ValueId> outputs;
    for (ValueId id : body.outputs()) outputs.push_back(at(id));
    return outputs;
  }

  ValueId Op(const char* op, const std::string& name,
             std::vector<ValueId> inputs,
             std::map<std::string, Attribute> attrs = {}) {
    return graph_
        .node(graph_.AddNode(op, name, std::move(inputs), {name},
                             std::move(attrs)))
        .outputs[0];
  }

  ValueId Ints(const std::string& name, std::vector<int64_t> dims,
               int64_t value) {
    return graph_.AddConstant(
        name, Tensor::Of<int64_t>(std::move(dims), std::vector{value}));
  }

  // The parts along a new axis; `reversed`: the last first.
  ValueId Stack(const std::string& name, std::vector<ValueId> parts,
                int64_t axis, bool reversed) {
    const ValueId axes = Ints(absl::StrCat(name, "/axis"), {1}, axis);
    if (reversed) std::reverse(parts.begin(), parts.end());
    for (size_t i = 0; i < parts.size(); ++i) {
      parts[i] = Op("Unsqueeze", absl::StrCat(name, "/", i, "/unsqueezed"),
                    {parts[i], axes});
    }
    return Op("Concat", absl::StrCat(name, "/stacked"), std::move(parts),
              {{"axis", axis}});
  }

  // `results` take the place of the node's outputs; the node goes.
  absl::Status Replace(const std::vector<ValueId>& results) {
    const std::vector<ValueId> outputs = node_.outputs;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i] == kNoValue) continue;
      ValueId result = results[i];
      if (graph_.IsOutput(outputs[i])) {
        const std::string name = graph_.value(outputs[i]).name;
        // Names of the model's outputs stay; inputs and constants have their
        // own, and so has what is an output already.
        if (graph_.value(result).producer == kNoNode ||
            graph_.IsOutput(result)) {
          result = Op("Identity", absl::StrCat(name, "/result"), {result});
        }
        graph_.ReplaceUses(outputs[i], result);
        graph_.RenameValue(result, name);
      } else {
        graph_.ReplaceUses(outputs[i], result);
      }
    }
    graph_.RemoveNode(node_.id);
    graph_.RemoveDeadValues();
    if (graph_.SortTopologically()) return absl::OkStatus();
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_GRAPH",
                     "the subgraphs read what the node makes");
  }

 private:
  // One in the graph for all turns.
  ValueId Constant(const Graph& body, ValueId id) {
    auto [it, fresh] = constants_.emplace(std::make_pair(&body, id), kNoValue);
    if (fresh) {
      const Value& value = body.value(id);
      // Verify has seen that it is a constant.
      it->second = graph_.AddConstant(value.name, *value.constant);
    }
    return it->second;
  }

  Graph& graph_;
  // A copy, because the node is removed.
  const Node node_;
  std::map<std::pair<const Graph*, ValueId>, ValueId> constants_;
};

// How many nodes a turn adds, those for stacking included.
bool Fits(const Graph& graph, const Node& node, const Graph& body,
          int64_t turns) {
  const auto each = static_cast<int64_t>(
      body.order().size() + node.inputs.size() + node.outputs.size());
  const auto most = static_cast<int64_t>(InlineControlFlow::kNodesAddedMax);
  if (turns > most || each * turns > most) return false;
  return graph.order().size() + static_cast<size_t>(each * turns) <=
         InlineControlFlow::kNodesMax;
}

absl::StatusOr<bool> InlineIf(Graph& graph, const Node& node) {
  const auto condition = ScalarValues(&graph).At(node.input(0));
  const Graph* body =
      condition ? BodyOf(node, *condition ? "then_branch" : "else_branch")
                : nullptr;
  if (body == nullptr) return false;
  Inliner inliner(&graph, node);
  CONDENSE_RETURN_IF_ERROR(inliner.Replace(
      inliner.Copy(*body, {node.inputs.begin() + 1, node.inputs.end()}, "")));
  return true;
}

// Unrolls in a copy, because whether the condition can be told shows only on
// the way.
absl::StatusOr<bool> InlineLoop(Graph& graph, const Node& node) {
  const Graph* body = BodyOf(node, "body");
  const size_t captures = node.Int("captures", 0);
  const auto trips = ScalarValues(&graph).At(node.input(0));
  if (body == nullptr || (node.input(0) != kNoValue && !trips)) return false;
  if (trips && !Fits(graph, node, *body, std::max<int64_t>(*trips, 1)) &&
      node.input(1) == kNoValue) {
    return false;
  }
  Graph copy = graph;
  Inliner inliner(&copy, node);
  std::vector<ValueId> states(node.inputs.begin() + 2,
                              node.inputs.end() - captures);
  std::vector<std::vector<ValueId>> scans(node.outputs.size() - states.size());
  ValueId condition = node.input(1);
  ScalarValues scalars(&copy);
  for (int64_t turn = 0; !trips || turn < *trips; ++turn) {
    if (condition != kNoValue) {
      const auto goes_on = scalars.At(condition);
      if (!goes_on) return false;
      if (*goes_on == 0) break;
    }
    if (!Fits(graph, node, *body, turn + 1)) return false;
    const std::string prefix = absl::StrCat(node.name, "/", turn, "/");
    std::vector<ValueId> inputs = {
        inliner.Ints(prefix + "turn", {}, turn),
        copy.AddConstant(prefix + "condition", Tensor::Scalar<bool>(true))};
    inputs.insert(inputs.end(), states.begin(), states.end());
    inputs.insert(inputs.end(), node.inputs.end() - captures,
                  node.inputs.end());
    const std::vector<ValueId> outputs = inliner.Copy(*body, inputs, prefix);
    condition = outputs[0];
    states.assign(outputs.begin() + 1, outputs.begin() + 1 + states.size());
    for (ValueId state : states) scalars.At(state);
    for (size_t k = 0; k < scans.size(); ++k) {
      scans[k].push_back(outputs[1 + states.size() + k]);
    }
  }
  std::vector<ValueId> results = states;
  for (size_t k = 0; k < scans.size(); ++k) {
    const ValueId output = node.outputs[states.size() + k];
    if (output != kNoValue && scans[k].empty()) return false;
    results.push_back(output == kNoValue
                          ? kNoValue
                          : inliner.Stack(copy.value(output).name, scans[k], 0,
                                          /*reversed=*/false));
  }
  CONDENSE_RETURN_IF_ERROR(inliner.Replace(results));
  graph = std::move(copy);
  return true;
}

// Axes and directions of Scan, 0 where they are not given.
std::vector<int64_t> IntsOr0(const Node& node, const char* key, size_t count) {
  std::vector<int64_t> values = node.Ints(key);
  values.resize(count, 0);
  return values;
}

absl::StatusOr<bool> InlineScan(Graph& graph, const Node& node) {
  const Graph* body = BodyOf(node, "body");
  const size_t captures = node.Int("captures", 0);
  const size_t scanned = node.Int("num_scan_inputs", 1);
  const size_t first = node.inputs.size() - captures - scanned;
  if (body == nullptr || scanned == 0) return false;
  auto in_axes = IntsOr0(node, "scan_input_axes", scanned);
  const auto in_back = IntsOr0(node, "scan_input_directions", scanned);
  const auto& shape = graph.value(node.inputs[first]).shape;
  if (!shape) return false;
  const int64_t rank = static_cast<int64_t>(shape->size());
  const int64_t axis = in_axes[0] < 0 ? in_axes[0] + rank : in_axes[0];
  if (axis < 0 || axis >= rank || (*shape)[axis].value <= 0) return false;
  const int64_t turns = (*shape)[axis].value;
  if (!Fits(graph, node, *body, turns)) return false;
  const size_t made = node.outputs.size() - first;
  const auto out_axes = IntsOr0(node, "scan_output_axes", made);
  const auto out_back = IntsOr0(node, "scan_output_directions", made);
  Inliner inliner(&graph, node);
  const Node scan = node;
  std::vector<ValueId> states(scan.inputs.begin(), scan.inputs.begin() + first);
  std::vector<std::vector<ValueId>> scans(made);
  for (int64_t turn = 0; turn < turns; ++turn) {
    const std::string prefix = absl::StrCat(scan.name, "/", turn, "/");
    std::vector<ValueId> inputs = states;
    for (size_t k = 0; k < scanned; ++k) {
      const ValueId index =
          inliner.Ints(absl::StrCat(prefix, "index"), {},
                       in_back[k] != 0 ? turns - 1 - turn : turn);
      inputs.push_back(inliner.Op("Gather", absl::StrCat(prefix, "slice_", k),
                                  {scan.inputs[first + k], index},
                                  {{"axis", in_axes[k]}}));
    }
    inputs.insert(inputs.end(), scan.inputs.end() - captures,
                  scan.inputs.end());
    const std::vector<ValueId> outputs = inliner.Copy(*body, inputs, prefix);
    states.assign(outputs.begin(), outputs.begin() + first);
    for (size_t k = 0; k < made; ++k) scans[k].push_back(outputs[first + k]);
  }
  std::vector<ValueId> results = states;
  for (size_t k = 0; k < made; ++k) {
    const ValueId output = scan.outputs[first + k];
    results.push_back(output == kNoValue
                          ? kNoValue
                          : inliner.Stack(graph.value(output).name, scans[k],
                                          out_axes[k], out_back[k] != 0));
  }
  CONDENSE_RETURN_IF_ERROR(inliner.Replace(results));
  return true;
}

absl::StatusOr<bool> Inline(Graph& graph, NodeId id) {
  // A copy, because the node is removed.
  const Node node = graph.node(id);
  if (node.Is("If")) return InlineIf(graph, node);
  if (node.Is("Loop")) return InlineLoop(graph, node);
  if (node.Is("Scan")) return InlineScan(graph, node);
  return false;
}

}  // namespace

absl::StatusOr<bool> InlineControlFlow::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    CONDENSE_ASSIGN_OR_RETURN(const bool inlined, Inline(graph, id));
    changed |= inlined;
  }
  return changed;
}

}  // namespace condense::graph
