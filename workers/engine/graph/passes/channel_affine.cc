#include "workers/engine/graph/passes/channel_affine.h"

#include <algorithm>
#include <cmath>

namespace condense::graph {
namespace {

std::optional<ChannelAffine> NormOf(const Graph& graph, const Node& node,
                                    const ChannelAxis& channels) {
  if (channels.axis != 1 || node.outputs.size() != 1) return std::nullopt;
  std::vector<float> parts[4];
  for (size_t i = 0; i < 4; ++i) {
    const Tensor* tensor = graph.ConstantOf(node.input(i + 1));
    if (tensor == nullptr || tensor->num_elements() != channels.count) {
      return std::nullopt;
    }
    parts[i] = tensor->ToFloats();
  }
  const double epsilon = node.Float("epsilon", 1e-5f);
  ChannelAffine affine;
  for (int64_t c = 0; c < channels.count; ++c) {
    const double factor = parts[0][c] / std::sqrt(parts[3][c] + epsilon);
    affine.factor.push_back(static_cast<float>(factor));
    affine.shift.push_back(
        static_cast<float>(parts[1][c] - factor * parts[2][c]));
  }
  return affine;
}

// A constant as one number per channel, if it broadcasts like that.
std::optional<std::vector<float>> PerChannel(const Graph& graph, ValueId id,
                                             const ChannelAxis& channels) {
  const Tensor* tensor = graph.ConstantOf(id);
  if (tensor == nullptr || tensor->dtype() != DType::kFloat32 ||
      tensor->rank() > channels.rank) {
    return std::nullopt;
  }
  const std::vector<float> values = tensor->ToFloats();
  if (values.size() == 1) {
    return std::vector<float>(channels.count, values[0]);
  }
  const int64_t axis = channels.axis - (channels.rank - tensor->rank());
  if (axis < 0 || tensor->dims()[axis] != channels.count ||
      tensor->num_elements() != channels.count) {
    return std::nullopt;
  }
  return values;
}

bool AllFinite(const ChannelAffine& affine) {
  auto finite = [](float v) { return std::isfinite(v); };
  return std::all_of(affine.factor.begin(), affine.factor.end(), finite) &&
         std::all_of(affine.shift.begin(), affine.shift.end(), finite);
}

std::optional<ChannelAffine> ArithmeticOf(const Graph& graph, const Node& node,
                                          ValueId x,
                                          const ChannelAxis& channels) {
  if (node.inputs.size() != 2 || node.inputs[0] == node.inputs[1]) {
    return std::nullopt;
  }
  const size_t at = node.inputs[0] == x ? 0 : 1;
  const auto constant = PerChannel(graph, node.inputs[1 - at], channels);
  if (!constant) return std::nullopt;
  ChannelAffine affine{std::vector<float>(channels.count, 1),
                       std::vector<float>(channels.count, 0)};
  for (int64_t c = 0; c < channels.count; ++c) {
    const float k = (*constant)[c];
    if (node.op == "Add") affine.shift[c] = k;
    if (node.op == "Mul") affine.factor[c] = k;
    if (node.op == "Sub") {
      affine.factor[c] = at == 0 ? 1 : -1;
      affine.shift[c] = at == 0 ? -k : k;
    }
    if (node.op == "Div") {
      if (at != 0) return std::nullopt;
      affine.factor[c] = 1 / k;
    }
  }
  return affine;
}

}  // namespace

bool ChannelAffine::ScalesNothing() const {
  return std::all_of(factor.begin(), factor.end(),
                     [](float v) { return v == 1; });
}

bool ChannelAffine::ShiftsNothing() const {
  return std::all_of(shift.begin(), shift.end(),
                     [](float v) { return v == 0; });
}

std::optional<ChannelAffine> AffineOf(const Graph& graph, const Node& node,
                                      ValueId x, const ChannelAxis& channels) {
  std::optional<ChannelAffine> affine;
  if (node.Is("BatchNormalization")) {
    affine = NormOf(graph, node, channels);
  } else if (node.Is("Add") || node.Is("Sub") || node.Is("Mul") ||
             node.Is("Div")) {
    affine = ArithmeticOf(graph, node, x, channels);
  }
  if (affine && !AllFinite(*affine)) return std::nullopt;
  return affine;
}

std::optional<ChannelAxis> ChannelsBehind(const Graph& graph, const Node& node,
                                          const ChannelAxis& before) {
  if (node.Is("Identity") || node.Is("Dropout")) return before;
  if (node.Is("Transpose")) {
    const std::vector<int64_t> perm = node.Ints("perm");
    const auto at = std::find(perm.begin(), perm.end(), before.axis);
    if (at == perm.end()) return std::nullopt;
    return ChannelAxis{before.count, at - perm.begin(), before.rank};
  }
  if (!node.Is("Reshape") && !node.Is("Flatten") && !node.Is("Squeeze") &&
      !node.Is("Unsqueeze")) {
    return std::nullopt;
  }
  // Equal dimensions up to the channels: the rest of each stays together.
  const auto& from = graph.value(node.inputs[0]).shape;
  const auto& to = graph.value(node.outputs[0]).shape;
  const int64_t after = before.axis + 1;
  if (!from || !to || static_cast<int64_t>(from->size()) < after ||
      static_cast<int64_t>(to->size()) < after ||
      !std::equal(from->begin(), from->begin() + after, to->begin()) ||
      std::any_of(to->begin(), to->begin() + after, [](const Dim& dim) {
        return !dim.known() && dim.symbol.empty();
      })) {
    return std::nullopt;
  }
  return ChannelAxis{before.count, before.axis,
                     static_cast<int64_t>(to->size())};
}

}  // namespace condense::graph
