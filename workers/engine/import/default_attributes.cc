#include "workers/engine/import/default_attributes.h"

#include <algorithm>
#include <string>

#include "absl/strings/match.h"

namespace condense::onnx_import {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Tensor;

struct Number {
  const char* op;
  const char* key;
};
// Defaults that are 0.
constexpr Number kZeros[] = {{"GRU", "layout"},
                             {"LSTM", "layout"},
                             {"RNN", "layout"},
                             {"Reshape", "allowzero"},
                             {"Shape", "start"},
                             {"LpPool", "ceil_mode"},
                             {"Resize", "antialias"},
                             {"QuantizeLinear", "block_size"},
                             {"DequantizeLinear", "block_size"}};

struct Text {
  const char* op;
  const char* key;
  const char* value;
};
constexpr Text kTexts[] = {
    {"ScatterElements", "reduction", "none"},
    {"ScatterND", "reduction", "none"},
    {"Resize", "keep_aspect_ratio_policy", "stretch"},
    {"RoiAlign", "coordinate_transformation_mode", "half_pixel"}};

void DropEqual(Node& node) {
  for (const auto& [op, key] : kZeros) {
    if (node.op == op && node.Has(key) && node.Int(key, 1) == 0) {
      node.attrs.erase(key);
    }
  }
  for (const auto& [op, key, value] : kTexts) {
    if (node.op == op && node.String(key, "") == value) node.attrs.erase(key);
  }
  // The graph is float32, and so is what statistics are kept in.
  node.attrs.erase("stash_type");
  const bool pool = node.op == "AveragePool" || node.op == "LpPool";
  const std::vector<int64_t> dilations = node.Ints("dilations");
  if (pool && std::all_of(dilations.begin(), dilations.end(),
                          [](int64_t d) { return d == 1; })) {
    node.attrs.erase("dilations");
  }
}

void DropAboutNothing(const Graph& graph, Node& node) {
  if (node.op == "Reshape" && node.Has("allowzero")) {
    const Tensor* sizes = graph.ConstantOf(node.input(1));
    if (sizes != nullptr && sizes->dtype() == graph::DType::kInt64) {
      const std::vector<int64_t> values = sizes->ToInts();
      if (std::count(values.begin(), values.end(), 0) == 0) {
        node.attrs.erase("allowzero");
      }
    }
  }
  if (absl::StartsWith(node.op, "Reduce") && node.Has("noop_with_empty_axes")) {
    const Tensor* axes = graph.ConstantOf(node.input(1));
    if (node.Has("axes") || node.Int("noop_with_empty_axes", 0) == 0 ||
        (axes != nullptr && axes->num_elements() > 0)) {
      node.attrs.erase("noop_with_empty_axes");
    }
  }
}

}  // namespace

void DropDefaultAttributes(Graph& graph) {
  for (NodeId id : graph.order()) {
    Node& node = graph.mutable_node(id);
    if (!node.domain.empty()) continue;
    DropEqual(node);
    DropAboutNothing(graph, node);
  }
}

}  // namespace condense::onnx_import
