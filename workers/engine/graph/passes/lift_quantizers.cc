#include "workers/engine/graph/passes/lift_quantizers.h"

#include <optional>

#include "absl/strings/str_cat.h"

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
  }
  return q;
}

std::map<std::string, Attribute> AttributesOf(const Quantizer& q,
                                              const std::string& role) {
  const Range range = *RangeOf(q.dtype);
  std::map<std::string, Attribute> attrs = {
      {"qmin", range.low},
      {"qmax", range.high},
      {"dtype", std::string(DTypeName(q.dtype))},
      {"role", role}};
  if (q.per_axis) attrs["axis"] = q.axis;
  return attrs;
}

// The node becomes FakeQuantize(x, scale, zero point).
void BecomeFakeQuantize(Graph& graph, NodeId id, ValueId x, const Quantizer& q,
                        const std::string& role) {
  std::vector<int64_t> dims;
  if (q.per_axis) dims.push_back(static_cast<int64_t>(q.scale.size()));
  const std::string name = graph.value(x).name;
  const ValueId scale = graph.AddConstant(absl::StrCat(name, "/scale"),
                                          Tensor::Of<float>(dims, q.scale));
  const ValueId zero =
      graph.AddConstant(absl::StrCat(name, "/zero_point"),
                        Tensor::Of<int32_t>(dims, q.zero_point));
  Node& node = graph.mutable_node(id);
  node.op = "FakeQuantize";
  node.domain = "condense";
  node.inputs = {x, scale, zero};
  node.attrs = AttributesOf(q, role);
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

bool LiftConstant(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const Tensor levels = *graph.ConstantOf(node.inputs[0]);
  if (IsFloating(levels.dtype()) || levels.dtype() == DType::kString) {
    return false;
  }
  auto q = QuantizerOf(graph, node);
  if (!q || (q->per_axis && q->axis >= levels.rank())) return false;
  q->dtype = levels.dtype();
  if (levels.dtype() != DType::kInt32 && !RangeOf(levels.dtype())) return false;
  const ValueId floats = graph.AddConstant(graph.value(node.inputs[0]).name,
                                           Dequantized(levels, *q));
  if (levels.dtype() == DType::kInt32) {
    if (graph.IsOutput(node.outputs[0])) return false;
    graph.ReplaceUses(node.outputs[0], floats);
    graph.RemoveNode(id);
    return true;
  }
  BecomeFakeQuantize(graph, id, floats, *q, "weight");
  return true;
}

// QuantizeLinear whose every reader dequantizes with the same parameters.
bool LiftPair(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const auto q = QuantizerOf(graph, node);
  if (!q || !RangeOf(q->dtype) || graph.IsOutput(node.outputs[0])) return false;
  const std::vector<NodeId> readers = graph.Consumers(node.outputs[0]);
  if (readers.empty()) return false;
  for (NodeId reader : readers) {
    const Node& back = graph.node(reader);
    const auto other = QuantizerOf(graph, back);
    if (!back.Is("DequantizeLinear") || !other || other->scale != q->scale ||
        other->zero_point != q->zero_point || other->axis != q->axis) {
      return false;
    }
  }
  const ValueId x = node.inputs[0];
  for (NodeId reader : readers) {
    BecomeFakeQuantize(graph, reader, x, *q, "activation");
  }
  graph.RemoveNode(id);
  return true;
}

}  // namespace

absl::StatusOr<bool> LiftQuantizers::Run(Graph& graph) const {
  bool changed = false;
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
