#include "workers/engine/export/first_opset.h"

#include <algorithm>
#include <map>
#include <string>

namespace condense::onnx_export {
namespace {

using graph::DType;
using graph::Graph;
using graph::Node;
using graph::ValueId;

int OfOperator(const std::string& op) {
  static const auto& since = *new std::map<std::string, int>{
      {"AffineGrid", 20}, {"BitwiseAnd", 18},      {"BitwiseNot", 18},
      {"BitwiseOr", 18},  {"BitwiseXor", 18},      {"BlackmanWindow", 17},
      {"CastLike", 15},   {"CenterCropPad", 18},   {"Col2Im", 18},
      {"DFT", 17},        {"GridSample", 16},      {"HammingWindow", 17},
      {"HannWindow", 17}, {"MelWeightMatrix", 17}, {"STFT", 17},
      {"Trilu", 14}};
  auto it = since.find(op);
  return it == since.end() ? 13 : it->second;
}

// Values of text attributes that came later than their operator.
struct Later {
  const char* op;
  const char* key;
  const char* value;
  int since;
};
constexpr Later kLater[] = {
    {"Pad", "mode", "wrap", 19},
    {"Resize", "coordinate_transformation_mode", "half_pixel_symmetric", 19},
    {"Resize", "keep_aspect_ratio_policy", "not_larger", 18},
    {"Resize", "keep_aspect_ratio_policy", "not_smaller", 18},
    {"RoiAlign", "coordinate_transformation_mode", "half_pixel", 16},
    {"ScatterElements", "reduction", "add", 16},
    {"ScatterElements", "reduction", "mul", 16},
    {"ScatterElements", "reduction", "max", 18},
    {"ScatterElements", "reduction", "min", 18},
    {"ScatterND", "reduction", "add", 16},
    {"ScatterND", "reduction", "mul", 16},
    {"ScatterND", "reduction", "max", 18},
    {"ScatterND", "reduction", "min", 18},
};

// Numbers other than 0, likewise.
struct LaterNumber {
  const char* op;
  const char* key;
  int since;
};
constexpr LaterNumber kLaterNumbers[] = {
    {"GRU", "layout", 14},
    {"LSTM", "layout", 14},
    {"RNN", "layout", 14},
    {"Reshape", "allowzero", 14},
    {"Shape", "start", 15},
    {"LpPool", "ceil_mode", 18},
    {"Resize", "antialias", 18},
    {"QuantizeLinear", "block_size", 21},
    {"DequantizeLinear", "block_size", 21},
};

int OfAttributes(const Node& node) {
  int opset = 13;
  for (const Later& later : kLater) {
    // RoiAlign's default is the new one.
    const char* fallback = node.op == "RoiAlign" ? "half_pixel" : "";
    if (node.op == later.op &&
        node.String(later.key, fallback) == later.value) {
      opset = std::max(opset, later.since);
    }
  }
  for (const LaterNumber& later : kLaterNumbers) {
    if (node.op == later.op && node.Int(later.key, 0) != 0) {
      opset = std::max(opset, later.since);
    }
  }
  const bool dilated = [&] {
    const std::vector<int64_t> dilations = node.Ints("dilations");
    return std::any_of(dilations.begin(), dilations.end(),
                       [](int64_t d) { return d != 1; });
  }();
  if (dilated && node.op == "AveragePool") opset = std::max(opset, 19);
  if (dilated && node.op == "LpPool") opset = std::max(opset, 18);
  if (node.op == "Shape" && node.Has("end")) opset = std::max(opset, 15);
  if (node.op == "Resize" && node.Has("axes")) opset = std::max(opset, 18);
  if (node.Int("noop_with_empty_axes", 0) != 0 && !node.Has("axes") &&
      node.op != "ReduceSum") {
    opset = std::max(opset, 18);
  }
  if (node.op == "Pad" && node.input(3) != graph::kNoValue) {
    opset = std::max(opset, 18);
  }
  return opset;
}

int OfTypes(const Graph& graph, const Node& node) {
  const bool quantizer =
      node.op == "QuantizeLinear" || node.op == "DequantizeLinear";
  int opset = 13;
  const auto look = [&](ValueId id) {
    if (id == graph::kNoValue) return;
    const DType dtype = graph.value(id).dtype;
    const int bits = graph::DTypeBits(dtype);
    if (bits == 4) opset = std::max(opset, 21);
    if (quantizer && bits == 16) {
      opset = std::max(opset, graph::IsFloating(dtype) ? 19 : 21);
    }
  };
  for (ValueId id : node.inputs) look(id);
  for (ValueId id : node.outputs) look(id);
  return opset;
}

}  // namespace

int FirstOpset(const Graph& graph, const Node& node) {
  return std::max(
      {OfOperator(node.op), OfAttributes(node), OfTypes(graph, node)});
}

}  // namespace condense::onnx_export
