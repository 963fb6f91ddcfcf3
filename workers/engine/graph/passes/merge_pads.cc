#include "workers/engine/graph/passes/merge_pads.h"

#include <algorithm>
#include <cmath>

#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

bool AllZero(const std::vector<int64_t>& values) {
  return std::all_of(values.begin(), values.end(),
                     [](int64_t v) { return v == 0; });
}

// Begins and ends of the places, if nothing else is padded and nothing is cut.
std::optional<std::vector<int64_t>> PlacePads(const Graph& graph,
                                              const Node& pad) {
  const auto given = IntegersOf(graph, pad.input(1));
  if (pad.String("mode", "constant") != "constant" || !given ||
      pad.input(3) != kNoValue) {
    return std::nullopt;
  }
  const std::vector<int64_t>& pads = *given;
  const size_t rank = pads.size() / 2;
  if (rank < 3) return std::nullopt;
  std::vector<int64_t> out;
  for (size_t i = 0; i < pads.size(); ++i) {
    const bool place = i % rank >= 2;
    if (pads[i] < 0 || (!place && pads[i] != 0)) return std::nullopt;
    if (place) out.push_back(pads[i]);
  }
  return out;
}

// What is padded with; zero where the node does not say.
std::optional<float> FillOf(const Graph& graph, const Node& pad) {
  if (pad.input(2) == kNoValue) return 0.0f;
  return NumberOf(graph, pad.input(2));
}

bool Fits(const Graph& graph, const Node& pad, const Node& reader) {
  const auto fill = FillOf(graph, pad);
  if (!fill || reader.String("auto_pad", "NOTSET") != "NOTSET" ||
      reader.input(0) != pad.outputs[0]) {
    return false;
  }
  if (reader.Is("Conv")) return *fill == 0;
  // A window that starts outside of everything is dropped with ceil_mode.
  if (reader.Int("ceil_mode", 0) != 0 || !AllZero(reader.Ints("pads"))) {
    return false;
  }
  if (reader.Is("AveragePool")) {
    // Without a padding of its own, what it counts is the whole window.
    return *fill == 0;
  }
  const bool positive = MadeBy(graph, pad.inputs[0], "Relu") != nullptr;
  return reader.Is("MaxPool") && reader.outputs.size() == 1 &&
         ((std::isinf(*fill) && *fill < 0) || (*fill == 0 && positive));
}

bool Merge(Graph& graph, NodeId id) {
  const Node& pad = graph.node(id);
  const auto pads = PlacePads(graph, pad);
  const NodeId reader = OnlyConsumer(graph, pad.outputs[0]);
  if (!pads || reader == kNoNode || !Fits(graph, pad, graph.node(reader))) {
    return false;
  }
  Node& node = graph.mutable_node(reader);
  std::vector<int64_t> sum =
      node.Ints("pads", std::vector<int64_t>(pads->size(), 0));
  if (sum.size() != pads->size()) return false;
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += (*pads)[i];
  if (node.Is("MaxPool") || node.Is("AveragePool")) {
    // Runtimes want every window to touch the input.
    const std::vector<int64_t> kernel = node.Ints("kernel_shape");
    for (size_t i = 0; i < sum.size(); ++i) {
      if (2 * sum[i] > kernel[i % kernel.size()]) return false;
    }
  }
  if (node.Is("AveragePool")) node.attrs["count_include_pad"] = int64_t{1};
  node.attrs["pads"] = sum;
  node.inputs[0] = pad.inputs[0];
  graph.RemoveNode(id);
  return true;
}

}  // namespace

absl::StatusOr<bool> MergePads::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (graph.node(id).Is("Pad")) changed |= Merge(graph, id);
  }
  if (changed) graph.RemoveDeadValues();
  return changed;
}

}  // namespace condense::graph
