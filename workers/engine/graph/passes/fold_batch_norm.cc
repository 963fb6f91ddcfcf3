#include "workers/engine/graph/passes/fold_batch_norm.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace condense::graph {
namespace {

struct Affine {
  std::vector<float> factor;
  std::vector<float> shift;
};

// y = x * factor + shift, of a BatchNormalization with constants.
std::optional<Affine> AffineOf(const Graph& graph, const Node& node) {
  std::vector<float> parts[4];
  for (size_t i = 0; i < 4; ++i) {
    const Tensor* tensor = graph.ConstantOf(node.input(i + 1));
    if (tensor == nullptr) return std::nullopt;
    parts[i] = tensor->ToFloats();
    if (parts[i].size() != parts[0].size()) return std::nullopt;
  }
  const double epsilon = node.Float("epsilon", 1e-5f);
  Affine affine;
  for (size_t c = 0; c < parts[0].size(); ++c) {
    const double factor = parts[0][c] / std::sqrt(parts[3][c] + epsilon);
    affine.factor.push_back(static_cast<float>(factor));
    affine.shift.push_back(
        static_cast<float>(parts[1][c] - factor * parts[2][c]));
  }
  return affine;
}

// The axis of the weight that counts output channels, and its group count.
struct WeightLayout {
  size_t axis = 0;
  int64_t group = 1;
};

std::optional<WeightLayout> LayoutOf(const Node& node) {
  if (node.Is("Conv")) return WeightLayout{0, 1};
  if (node.Is("ConvTranspose")) return WeightLayout{1, node.Int("group", 1)};
  if (node.Is("Gemm") && node.Float("alpha", 1) == 1 &&
      node.Float("beta", 1) == 1) {
    return WeightLayout{node.Int("transB", 0) ? size_t{0} : size_t{1}, 1};
  }
  return std::nullopt;
}

Tensor ScaleAlong(const Tensor& weight, const WeightLayout& layout,
                  const std::vector<float>& factor) {
  std::vector<float> values = weight.ToFloats();
  int64_t inner = 1;
  for (size_t i = layout.axis + 1; i < weight.dims().size(); ++i) {
    inner *= weight.dims()[i];
  }
  const int64_t along = weight.dims()[layout.axis];
  const int64_t outer = weight.num_elements() / (along * inner);
  const int64_t outer_per_group = outer / layout.group;
  for (int64_t o = 0; o < outer; ++o) {
    const int64_t base = layout.group > 1 ? o / outer_per_group * along : 0;
    for (int64_t c = 0; c < along; ++c) {
      for (int64_t i = 0; i < inner; ++i) {
        values[(o * along + c) * inner + i] *= factor[base + c];
      }
    }
  }
  return Tensor::Of<float>(weight.dims(), values);
}

bool FoldOne(Graph& graph, NodeId norm_id) {
  const Node& norm = graph.node(norm_id);
  const ValueId middle = norm.inputs[0];
  const NodeId source = graph.value(middle).producer;
  if (source == kNoNode || graph.IsOutput(middle) ||
      graph.Consumers(middle).size() != 1) {
    return false;
  }
  const Node& node = graph.node(source);
  const auto layout = LayoutOf(node);
  const auto affine = AffineOf(graph, norm);
  const Tensor* weight = graph.ConstantOf(node.input(1));
  if (!layout || !affine || weight == nullptr ||
      weight->dtype() != DType::kFloat32 ||
      weight->dims()[layout->axis] * layout->group !=
          static_cast<int64_t>(affine->factor.size()) ||
      graph.Consumers(node.inputs[1]).size() != 1) {
    return false;
  }
  std::vector<float> bias(affine->factor.size(), 0);
  if (node.input(2) != kNoValue) {
    const Tensor* old = graph.ConstantOf(node.input(2));
    if (old == nullptr ||
        old->num_elements() != static_cast<int64_t>(bias.size())) {
      return false;
    }
    bias = old->ToFloats();
  }
  for (size_t c = 0; c < bias.size(); ++c) {
    bias[c] = bias[c] * affine->factor[c] + affine->shift[c];
  }
  graph.SetConstant(node.inputs[1],
                    ScaleAlong(*weight, *layout, affine->factor));
  const ValueId bias_id = graph.AddConstant(
      absl::StrCat(node.name, ".folded_bias"),
      Tensor::Of<float>({static_cast<int64_t>(bias.size())}, bias));
  Node& changed = graph.mutable_node(source);
  changed.inputs.resize(3, kNoValue);
  changed.inputs[2] = bias_id;
  // The convolution takes over the normalisation's output and its name.
  const ValueId out = norm.outputs[0];
  const std::string name = graph.value(out).name;
  graph.ReplaceUses(out, middle);
  graph.RemoveNode(norm_id);
  graph.RenameValue(middle, name);
  return true;
}

}  // namespace

absl::StatusOr<bool> FoldBatchNorm::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (graph.node(id).Is("BatchNormalization")) changed |= FoldOne(graph, id);
  }
  if (changed) graph.RemoveDeadValues();
  return changed;
}

}  // namespace condense::graph
