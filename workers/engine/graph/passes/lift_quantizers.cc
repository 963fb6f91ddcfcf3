#include "workers/engine/graph/passes/lift_quantizers.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"
#include "workers/engine/graph/passes/lift_integer_operators.h"

namespace condense::graph {
namespace {

struct Range {
  int64_t low = 0;
  int64_t high = 0;
};

std::optional<Range> RangeOf(DType dtype) {
  const bool is_signed =
      dtype == DType::kInt4 || dtype == DType::kInt8 || dtype == DType::kInt16;
  const bool is_unsigned = dtype == DType::kUint4 || dtype == DType::kUint8 ||
                           dtype == DType::kUint16;
  if (!is_signed && !is_unsigned) return std::nullopt;
  const int64_t levels = int64_t{1} << DTypeBits(dtype);
  return is_signed ? Range{-levels / 2, levels / 2 - 1} : Range{0, levels - 1};
}

// Scale and zero point of a QuantizeLinear or DequantizeLinear as FakeQuantize
// wants them.
struct Quantizer {
  // The constant of the file.
  ValueId scale_id = kNoValue;
  std::vector<float> scale;
  std::vector<int32_t> zero_point;
  bool per_axis = false;
  int64_t axis = 0;
  DType dtype = DType::kUndefined;
};

std::optional<Quantizer> QuantizerOf(const Graph& graph, const Node& node) {
  const Tensor* scale = graph.ConstantOf(node.input(1));
  const Tensor* zero = graph.ConstantOf(node.input(2));
  const bool has_zero = node.input(2) != kNoValue;
  const auto& shape = graph.value(node.inputs[0]).shape;
  if (scale == nullptr || !IsFloating(scale->dtype()) ||
      (zero != nullptr &&
       (IsFloating(zero->dtype()) || zero->dtype() == DType::kString)) ||
      (has_zero && zero == nullptr) || !shape || scale->rank() > 1 ||
      node.Int("block_size", 0) != 0) {
    return std::nullopt;
  }
  Quantizer q;
  q.scale_id = node.input(1);
  q.scale = scale->ToFloats();
  q.per_axis = q.scale.size() > 1;
  q.axis = node.Int("axis", 1);
  if (q.axis < 0) q.axis += static_cast<int64_t>(shape->size());
  q.zero_point.assign(q.scale.size(), 0);
  if (has_zero) {
    const std::vector<int64_t> levels = zero->ToInts();
    if (levels.size() != q.scale.size()) return std::nullopt;
    q.zero_point.assign(levels.begin(), levels.end());
    q.dtype = zero->dtype();
  } else if (node.Is("QuantizeLinear")) {
    q.dtype = DType::kUint8;  // ONNX's default
  }
  return q;
}

// Puts FakeQuantize(x, scale, zero point) where the node stands and returns its
// output. The scale stays the file's own constant, so that what is lowered
// again is what was read.
ValueId ReplaceByFakeQuantize(Graph& graph, NodeId id, ValueId x,
                              const Quantizer& q, Range range,
                              const std::string& role) {
  std::vector<int64_t> dims;
  if (q.per_axis) dims.push_back(static_cast<int64_t>(q.scale.size()));
  const std::string name = graph.value(x).name;
  ValueId scale = q.scale_id;
  if (graph.ConstantOf(scale)->dims() != dims ||
      graph.value(scale).dtype != DType::kFloat32) {
    scale =
        graph.AddConstant(name + ".scale", Tensor::Of<float>(dims, q.scale));
  }
  const ValueId zero = graph.AddConstant(
      name + ".zero_point", Tensor::Of<int32_t>(dims, q.zero_point));
  std::map<std::string, Attribute> attrs = {
      {"qmin", range.low},
      {"qmax", range.high},
      {"dtype", std::string(DTypeName(q.dtype))},
      {"role", role}};
  if (q.per_axis) attrs["axis"] = q.axis;
  const NodeId quantizer = graph.InsertBefore(
      id, "FakeQuantize", name + ".quantize", {x, scale, zero},
      name + ".quantized", attrs, "condense");
  const ValueId y = graph.node(quantizer).outputs[0];
  const ValueId out = graph.node(id).outputs[0];
  const bool output = graph.IsOutput(out);
  const std::string out_name = graph.value(out).name;
  graph.mutable_value(y).dtype = graph.value(out).dtype;
  graph.mutable_value(y).shape = graph.value(out).shape;
  graph.ReplaceUses(out, y);
  graph.RemoveNode(id);
  if (output) graph.RenameValue(y, out_name);
  return y;
}

// The levels that a symmetric weight uses: those of the least width that holds
// them all, -(2^(b-1) - 1) to 2^(b-1) - 1, or one more below if one is there.
Range UsedRange(const std::vector<int64_t>& levels) {
  int64_t high = 1;
  const auto [least, most] = std::minmax_element(levels.begin(), levels.end());
  while (!levels.empty() && (high < *most || -high - 1 > *least)) {
    high = 2 * high + 1;
  }
  const bool below = !levels.empty() && *least < -high;
  return {below ? -high - 1 : -high, high};
}

// The float values that stored levels stand for.
Tensor Dequantized(const Tensor& levels, const Quantizer& q) {
  const std::vector<int64_t> in = levels.ToInts();
  int64_t inner = 1;
  for (int64_t i = q.axis + 1; i < levels.rank(); ++i) {
    inner *= levels.dims()[i];
  }
  std::vector<float> out;
  for (size_t i = 0; i < in.size(); ++i) {
    const size_t channel = q.per_axis ? static_cast<int64_t>(i) / inner %
                                            static_cast<int64_t>(q.scale.size())
                                      : 0;
    out.push_back(static_cast<float>(in[i] - q.zero_point[channel]) *
                  q.scale[channel]);
  }
  return Tensor::Of<float>(levels.dims(), out);
}

// uint8 around 128 is int8 around 0. False where a zero point is another.
bool MakeSymmetric(Quantizer* q, std::vector<int64_t>* levels) {
  const int64_t middle = q->dtype == DType::kUint8 ? 128 : 0;
  for (int32_t& zero : q->zero_point) {
    if (zero != middle) return false;
    zero = 0;
  }
  for (int64_t& level : *levels) level -= middle;
  if (middle != 0) q->dtype = DType::kInt8;
  return true;
}

bool LiftConstant(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const Tensor stored = *graph.ConstantOf(node.inputs[0]);
  if (IsFloating(stored.dtype()) || stored.dtype() == DType::kString) {
    return false;
  }
  auto q = QuantizerOf(graph, node);
  if (!q || (q->per_axis && q->axis >= stored.rank())) return false;
  q->dtype = stored.dtype();
  if (stored.dtype() != DType::kInt32 && !RangeOf(stored.dtype())) return false;
  const ValueId floats = graph.AddConstant("floats", Dequantized(stored, *q));
  std::vector<int64_t> levels = stored.ToInts();
  const bool quantizer =
      stored.dtype() != DType::kInt32 && MakeSymmetric(&*q, &levels);
  if (!quantizer && graph.IsOutput(node.outputs[0])) return false;
  graph.RenameValue(
      floats, std::string(absl::StripSuffix(graph.value(node.inputs[0]).name,
                                            "_quantized")));
  if (quantizer) {
    ReplaceByFakeQuantize(graph, id, floats, *q, UsedRange(levels), "weight");
    return true;
  }
  graph.ReplaceUses(node.outputs[0], floats);
  graph.RemoveNode(id);
  return true;
}

// Every reader dequantizes with the parameters of the QuantizeLinear.
bool AllDequantize(const Graph& graph, const std::vector<NodeId>& readers,
                   const Quantizer& q) {
  return std::all_of(readers.begin(), readers.end(), [&](NodeId reader) {
    const Node& back = graph.node(reader);
    const auto other = QuantizerOf(graph, back);
    return back.Is("DequantizeLinear") && other && other->scale == q.scale &&
           other->zero_point == q.zero_point && other->axis == q.axis;
  });
}

// QuantizeLinear whose every reader dequantizes with the same parameters.
bool LiftPair(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const auto q = QuantizerOf(graph, node);
  if (!q || !RangeOf(q->dtype) || graph.IsOutput(node.outputs[0])) return false;
  const std::vector<NodeId> readers = graph.Consumers(node.outputs[0]);
  if (readers.empty() || !AllDequantize(graph, readers, *q)) return false;
  const ValueId x = node.inputs[0];
  const char* role = graph.IsConstant(x) ? "weight" : "activation";
  const Range range = *RangeOf(q->dtype);
  ValueId shared = kNoValue;
  for (NodeId reader : readers) {
    const ValueId out = graph.node(reader).outputs[0];
    if (shared != kNoValue && !graph.IsOutput(out)) {
      graph.ReplaceUses(out, shared);
      graph.RemoveNode(reader);
      continue;
    }
    const bool output = graph.IsOutput(out);
    const ValueId y = ReplaceByFakeQuantize(graph, reader, x, *q, range, role);
    if (!output) shared = y;
  }
  graph.RemoveNode(id);
  return true;
}

}  // namespace

absl::StatusOr<bool> LiftQuantizers::Run(Graph& graph) const {
  CONDENSE_ASSIGN_OR_RETURN(bool changed, LiftIntegerOperators().Run(graph));
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (!graph.HasNode(id)) continue;
    const Node& node = graph.node(id);
    if (node.Is("DequantizeLinear") && graph.IsConstant(node.inputs[0])) {
      changed |= LiftConstant(graph, id);
    } else if (node.Is("QuantizeLinear")) {
      changed |= LiftPair(graph, id);
    }
  }
  if (changed) graph.RemoveDeadValues();
  return changed;
}

}  // namespace condense::graph
