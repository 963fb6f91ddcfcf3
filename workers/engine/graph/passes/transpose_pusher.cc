#include "workers/engine/graph/passes/transpose_pusher.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

bool IsUnary(const Node& node) {
  static const auto& ops = *new std::set<std::string>{
      "Abs",        "Cast",      "Ceil",  "Celu",  "Clip",        "Elu",
      "Erf",        "Exp",       "Floor", "Gelu",  "HardSigmoid", "HardSwish",
      "Identity",   "LeakyRelu", "Log",   "Mish",  "Neg",         "Not",
      "Reciprocal", "Relu",      "Round", "Selu",  "Sigmoid",     "Sign",
      "Softplus",   "Softsign",  "Sqrt",  "Swish", "Tanh"};
  return node.domain.empty() && ops.count(node.op) > 0;
}

// The quantizer has one scale and zero point for all elements.
bool IsPlainQuantizer(const Graph& graph, const Node& node) {
  const bool quantizer = node.IsFakeQuantize() || node.Is("QuantizeLinear") ||
                         node.Is("DequantizeLinear");
  const Tensor* scale = graph.ConstantOf(node.input(1));
  return quantizer && scale != nullptr && scale->num_elements() == 1;
}

bool IsBroadcasting(const Node& node) {
  static const auto& ops = *new std::set<std::string>{
      "Add", "Div", "Max", "Mean", "Min", "Mul", "PRelu", "Pow", "Sub", "Sum"};
  return node.domain.empty() && ops.count(node.op) > 0;
}

bool IsAlongAxis(const Node& node) {
  return node.Is("Softmax") || node.Is("LogSoftmax") || node.Is("Hardmax") ||
         node.Is("Split");
}

bool IsReduction(const Node& node) {
  return (absl::StartsWith(node.op, "Reduce") && node.domain.empty());
}

}  // namespace

Permutation Inverse(const Permutation& perm) {
  Permutation inverse(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) inverse[perm[i]] = i;
  return inverse;
}

bool IsToChannelsLast(const Permutation& perm) {
  const int64_t rank = static_cast<int64_t>(perm.size());
  if (rank < 3 || perm[0] != 0 || perm[rank - 1] != 1) return false;
  for (int64_t i = 1; i + 1 < rank; ++i) {
    if (perm[i] != i + 1) return false;
  }
  return true;
}

Tensor Transposed(const Tensor& tensor, const Permutation& perm) {
  const size_t rank = perm.size();
  std::vector<int64_t> from(rank - tensor.dims().size(), 1);
  from.insert(from.end(), tensor.dims().begin(), tensor.dims().end());
  std::vector<int64_t> strides(rank, 1), dims(rank);
  for (size_t i = rank - 1; i-- > 0;) strides[i] = strides[i + 1] * from[i + 1];
  for (size_t i = 0; i < rank; ++i) dims[i] = from[perm[i]];
  const size_t width = DTypeBits(tensor.dtype()) / 8;
  std::string bytes;
  bytes.reserve(tensor.bytes().size());
  std::vector<int64_t> at(rank, 0);
  for (int64_t n = 0; n < tensor.num_elements(); ++n) {
    int64_t offset = 0;
    for (size_t i = 0; i < rank; ++i) offset += at[i] * strides[perm[i]];
    bytes.append(tensor.bytes(), offset * width, width);
    for (size_t i = rank; i-- > 0;) {
      if (++at[i] < dims[i]) break;
      at[i] = 0;
    }
  }
  return Tensor(tensor.dtype(), dims, std::move(bytes));
}

bool TransposePusher::Push(NodeId transpose, NodeId reader) {
  perm_ = graph_.node(transpose).Ints("perm");
  x_ = graph_.node(transpose).inputs[0];
  y_ = graph_.node(transpose).outputs[0];
  const Node& node = graph_.node(reader);
  if (IsUnary(node) || IsBroadcasting(node) || IsPlainQuantizer(graph_, node)) {
    return Elementwise(reader);
  }
  if (node.Is("Concat")) return Concat(reader);
  if (node.Is("Pad")) return Pad(reader);
  if (IsAlongAxis(node)) return AlongAxis(reader);
  if (node.Is("Slice")) return Slice(reader);
  if (IsReduction(node)) return Reduce(reader);
  if (node.Is("Squeeze")) return Squeeze(reader);
  if (node.Is("Reshape") || node.Is("Flatten")) return FlattenIntoLayer(reader);
  return false;
}

std::optional<ValueId> TransposePusher::Untransposed(ValueId id) {
  if (id == y_) return x_;
  const Node* other = MadeBy(graph_, id, "Transpose");
  if (other != nullptr && other->Ints("perm") == perm_) return other->inputs[0];
  if (const Tensor* tensor = graph_.ConstantOf(id)) {
    if (tensor->num_elements() == 1 && tensor->rank() <= 1) return id;
    if (tensor->rank() > static_cast<int64_t>(perm_.size()) ||
        DTypeBits(tensor->dtype()) < 8) {
      return std::nullopt;
    }
    const std::string name = graph_.value(id).name;
    const Tensor moved = Transposed(*tensor, Inverse(perm_));
    const bool alone = graph_.Consumers(id).size() == 1;
    const ValueId constant = graph_.AddConstant(name, moved);
    if (alone) graph_.RenameValue(constant, name);
    return constant;
  }
  // Somebody has it the other way round already.
  for (NodeId reader : graph_.Consumers(id)) {
    const Node& node = graph_.node(reader);
    if (node.Is("Transpose") && node.Ints("perm") == Inverse(perm_)) {
      return node.outputs[0];
    }
  }
  return std::nullopt;
}

void TransposePusher::TransposeOutputs(NodeId id, const Permutation& perm) {
  const std::vector<ValueId> outputs = graph_.node(id).outputs;
  for (ValueId output : outputs) {
    if (output != kNoValue) graph_.mutable_value(output).shape.reset();
  }
  InferNode(graph_, id).IgnoreError();
  if (std::is_sorted(perm.begin(), perm.end())) return;
  for (ValueId output : outputs) {
    if (output == kNoValue) continue;
    const std::string name = graph_.value(output).name;
    const NodeId turn =
        graph_.InsertAfter(id, "Transpose", name + "/layout", {output},
                           name + "/layout", {{"perm", perm}});
    const ValueId turned = graph_.node(turn).outputs[0];
    graph_.ReplaceUses(output, turned);
    graph_.mutable_node(turn).inputs[0] = output;
    graph_.RenameValue(output, name + "/moved");
    graph_.RenameValue(turned, name);
    InferNode(graph_, turn).IgnoreError();
  }
}

bool TransposePusher::Elementwise(NodeId id) {
  const Node& node = graph_.node(id);
  const size_t operands = IsBroadcasting(node) ? node.inputs.size() : 1;
  const auto& shape = graph_.value(node.outputs[0]).shape;
  if (!shape || shape->size() != perm_.size() ||
      (node.outputs.size() > 1 && !IsBroadcasting(node))) {
    return false;
  }
  std::vector<ValueId> inputs = node.inputs;
  for (size_t i = 0; i < operands; ++i) {
    const auto moved = Untransposed(inputs[i]);
    if (!moved) return false;
    inputs[i] = *moved;
  }
  graph_.mutable_node(id).inputs = inputs;
  TransposeOutputs(id, perm_);
  return true;
}

bool TransposePusher::Concat(NodeId id) {
  const Node& node = graph_.node(id);
  std::vector<ValueId> inputs;
  for (ValueId input : node.inputs) {
    const Tensor* constant = graph_.ConstantOf(input);
    // A constant is joined as it is: it has all axes.
    if (constant != nullptr &&
        constant->rank() != static_cast<int64_t>(perm_.size())) {
      return false;
    }
    const auto moved = Untransposed(input);
    if (!moved) return false;
    inputs.push_back(*moved);
  }
  Node& changed = graph_.mutable_node(id);
  changed.inputs = inputs;
  changed.attrs["axis"] = Mapped({node.Int("axis", 0)})[0];
  TransposeOutputs(id, perm_);
  return true;
}

std::optional<std::vector<int64_t>> TransposePusher::IntsAt(
    const Node& node, size_t input) const {
  return IntegersOf(graph_, node.input(input));
}

std::vector<int64_t> TransposePusher::Mapped(
    const std::vector<int64_t>& axes) const {
  const int64_t rank = static_cast<int64_t>(perm_.size());
  std::vector<int64_t> mapped;
  for (int64_t axis : axes)
    mapped.push_back(perm_[axis < 0 ? axis + rank : axis]);
  return mapped;
}

ValueId TransposePusher::NewInts(NodeId id,
                                 const std::vector<int64_t>& values) {
  return graph_.AddConstant(
      absl::StrCat(graph_.node(id).name, "/ints"),
      Tensor::Of<int64_t>({static_cast<int64_t>(values.size())}, values));
}

bool TransposePusher::Pad(NodeId id) {
  const Node& node = graph_.node(id);
  const auto pads = IntsAt(node, 1);
  const size_t rank = perm_.size();
  if (!pads || pads->size() != 2 * rank || node.input(3) != kNoValue) {
    return false;
  }
  std::vector<int64_t> moved(2 * rank);
  for (size_t i = 0; i < rank; ++i) {
    moved[perm_[i]] = (*pads)[i];
    moved[perm_[i] + rank] = (*pads)[i + rank];
  }
  const ValueId sizes = NewInts(id, moved);
  Node& changed = graph_.mutable_node(id);
  changed.inputs[0] = x_;
  changed.inputs[1] = sizes;
  TransposeOutputs(id, perm_);
  return true;
}

bool TransposePusher::AlongAxis(NodeId id) {
  Node& node = graph_.mutable_node(id);
  const int64_t axis = node.Int("axis", node.Is("Split") ? 0 : -1);
  node.inputs[0] = x_;
  node.attrs["axis"] = Mapped({axis})[0];
  TransposeOutputs(id, perm_);
  return true;
}

bool TransposePusher::Slice(NodeId id) {
  const Node& node = graph_.node(id);
  const auto starts = IntsAt(node, 1);
  auto axes = IntsAt(node, 3);
  if (!axes) {
    if (!starts || node.input(3) != kNoValue) return false;
    axes.emplace(starts->size());
    std::iota(axes->begin(), axes->end(), 0);
  }
  const ValueId moved = NewInts(id, Mapped(*axes));
  Node& changed = graph_.mutable_node(id);
  changed.inputs.resize(std::max<size_t>(4, changed.inputs.size()), kNoValue);
  changed.inputs[0] = x_;
  changed.inputs[3] = moved;
  TransposeOutputs(id, perm_);
  return true;
}

void TransposePusher::SetAxes(NodeId id, const std::vector<int64_t>& axes) {
  const bool attribute = graph_.node(id).Has("axes");
  const ValueId input = attribute ? kNoValue : NewInts(id, axes);
  Node& node = graph_.mutable_node(id);
  node.inputs[0] = x_;
  if (attribute) {
    node.attrs["axes"] = axes;
  } else {
    node.inputs[1] = input;
  }
}

namespace {

// The order of what is left when some axes are gone.
Permutation Without(const Permutation& perm, const std::vector<int64_t>& gone) {
  Permutation left;
  for (int64_t axis : perm) {
    if (std::count(gone.begin(), gone.end(), axis) > 0) continue;
    left.push_back(axis - std::count_if(gone.begin(), gone.end(),
                                        [&](int64_t g) { return g < axis; }));
  }
  return left;
}

}  // namespace

bool TransposePusher::Reduce(NodeId id) {
  const Node& node = graph_.node(id);
  const auto axes = node.Has("axes") ? node.Ints("axes") : IntsAt(node, 1);
  if (!axes || axes->empty()) return false;
  std::vector<int64_t> moved = Mapped(*axes);
  std::sort(moved.begin(), moved.end());
  const bool keeps = node.Int("keepdims", 1) != 0;
  SetAxes(id, moved);
  TransposeOutputs(id, keeps ? perm_ : Without(perm_, moved));
  return true;
}

bool TransposePusher::Squeeze(NodeId id) {
  const Node& node = graph_.node(id);
  const auto axes = node.Has("axes") ? node.Ints("axes") : IntsAt(node, 1);
  if (!axes || axes->empty()) return false;
  std::vector<int64_t> moved = Mapped(*axes);
  std::sort(moved.begin(), moved.end());
  SetAxes(id, moved);
  TransposeOutputs(id, Without(perm_, moved));
  return true;
}

// [N, C, H, W] -> [N, H, W, C] -> [N, H * W * C], which one dense layer reads:
// its rows are put in the order of [N, C * H * W].
bool TransposePusher::FlattenIntoLayer(NodeId id) {
  const Node& node = graph_.node(id);
  const auto from = graph_.value(y_).shape;
  const auto to = graph_.value(node.outputs[0]).shape;
  if (!from || !to || to->size() != 2 || (*from)[0] != (*to)[0] ||
      ((*from)[0].value < 0 && (*from)[0].symbol.empty())) {
    return false;
  }
  const auto inner = KnownDims(Shape(from->begin() + 1, from->end()));
  if (!inner) return false;
  // One place per channel: the order is the same in both.
  const int64_t places = std::accumulate(inner->begin(), inner->end() - 1,
                                         int64_t{1}, std::multiplies<>());
  if (places > 1) {
    const NodeId next = OnlyConsumer(graph_, node.outputs[0]);
    if (next == kNoNode) return false;
    const Node& layer = graph_.node(next);
    const bool dense = (layer.Is("MatMul") || layer.Is("Gemm")) &&
                       layer.Int("transA", 0) == 0 &&
                       layer.input(0) == node.outputs[0];
    const Tensor* weight = graph_.ConstantOf(layer.input(1));
    const int64_t axis = layer.Is("Gemm") && layer.Int("transB", 0) ? 1 : 0;
    if (!dense || weight == nullptr || weight->rank() != 2 ||
        weight->dims()[axis] != places * inner->back() ||
        DTypeBits(weight->dtype()) < 8 ||
        graph_.Consumers(layer.inputs[1]).size() != 1) {
      return false;
    }
    // As [places, C, out] or [out, places, C], channels first.
    const int64_t other = weight->dims()[1 - axis];
    const Tensor split(weight->dtype(),
                       axis == 0
                           ? std::vector<int64_t>{places, inner->back(), other}
                           : std::vector<int64_t>{other, places, inner->back()},
                       weight->bytes());
    const Tensor moved = Transposed(
        split, axis == 0 ? Permutation{1, 0, 2} : Permutation{0, 2, 1});
    graph_.SetConstant(layer.inputs[1],
                       Tensor(weight->dtype(), weight->dims(), moved.bytes()));
  }
  Node& changed = graph_.mutable_node(id);
  changed.op = "Flatten";
  changed.inputs = {x_};
  changed.attrs = {{"axis", int64_t{1}}};
  return true;
}

}  // namespace condense::graph
