#include "workers/engine/graph/passes/linear_layer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

bool ReadOnce(const Graph& graph, ValueId id) {
  const std::vector<NodeId> readers = graph.Consumers(id);
  if (readers.size() != 1 || graph.IsOutput(id)) return false;
  const auto& inputs = graph.node(readers[0]).inputs;
  return std::count(inputs.begin(), inputs.end(), id) == 1;
}

// One float32 number per output, or one for all.
bool IsBias(const Graph& graph, ValueId id, int64_t outputs) {
  const Tensor* tensor = graph.ConstantOf(id);
  if (tensor == nullptr || tensor->dtype() != DType::kFloat32) return false;
  const bool along_last =
      tensor->rank() > 0 && tensor->dims().back() == outputs;
  return tensor->num_elements() == 1 ||
         (along_last && tensor->num_elements() == outputs);
}

bool FillConv(const Node& node, const Tensor& weight, LinearLayer* layer) {
  if (weight.rank() < 3) return false;
  const bool transposed = node.Is("ConvTranspose");
  layer->group = node.Int("group", 1);
  layer->out_axis = transposed ? 1 : 0;
  layer->in_axis = transposed ? 0 : 1;
  layer->outputs = weight.dims()[layer->out_axis];
  layer->inputs = weight.dims()[layer->in_axis];
  (transposed ? layer->outputs : layer->inputs) *= layer->group;
  layer->channels = {layer->outputs, 1, weight.rank()};
  return true;
}

bool FillMatrix(const Graph& graph, const Node& node, const Tensor& weight,
                LinearLayer* layer) {
  if (weight.rank() != 2) return false;
  if (node.Is("Gemm") &&
      (node.Float("alpha", 1) != 1 || node.Float("beta", 1) != 1)) {
    return false;
  }
  layer->out_axis = node.Is("Gemm") && node.Int("transB", 0) != 0 ? 0 : 1;
  layer->in_axis = 1 - layer->out_axis;
  layer->outputs = weight.dims()[layer->out_axis];
  layer->inputs = weight.dims()[layer->in_axis];
  int64_t rank = 2;
  if (node.Is("MatMul")) {
    const auto& shape = graph.value(node.inputs[0]).shape;
    if (!shape || shape->size() < 2) return false;
    rank = static_cast<int64_t>(shape->size());
  }
  layer->channels = {layer->outputs, rank - 1, rank};
  return true;
}

// The Add of a constant per channel that alone reads the MatMul.
NodeId BiasAdd(const Graph& graph, const Node& node, int64_t outputs,
               int64_t rank) {
  const NodeId next = OnlyConsumer(graph, node.outputs[0]);
  if (next == kNoNode || !graph.node(next).Is("Add")) return kNoNode;
  for (ValueId id : graph.node(next).inputs) {
    if (IsBias(graph, id, outputs) && graph.ConstantOf(id)->rank() <= rank) {
      return next;
    }
  }
  return kNoNode;
}

size_t ConstantInput(const Graph& graph, const Node& add) {
  return graph.IsConstant(add.inputs[0]) ? 0 : 1;
}

std::vector<float> BiasOf(const Graph& graph, const LinearLayer& layer) {
  ValueId id = kNoValue;
  if (layer.add != kNoNode) {
    const Node& add = graph.node(layer.add);
    id = add.inputs[ConstantInput(graph, add)];
  } else if (!graph.node(layer.node).Is("MatMul")) {
    id = graph.node(layer.node).input(2);
  }
  if (id == kNoValue) return std::vector<float>(layer.outputs, 0);
  std::vector<float> bias = graph.ConstantOf(id)->ToFloats();
  if (bias.size() == 1) bias.assign(layer.outputs, bias[0]);
  return bias;
}

void SetBias(Graph& graph, const LinearLayer& layer,
             const std::vector<float>& bias) {
  const std::string name =
      absl::StrCat(graph.node(layer.node).name, ".folded_bias");
  const bool matmul = graph.node(layer.node).Is("MatMul");
  const bool zero =
      std::all_of(bias.begin(), bias.end(), [](float v) { return v == 0; });
  if (matmul && layer.add == kNoNode && zero) return;
  const ValueId id = graph.AddConstant(
      name, Tensor::Of<float>({static_cast<int64_t>(bias.size())}, bias));
  // Integer kernels add the bias of a Gemm exactly.
  const bool becomes_gemm =
      matmul && layer.add == kNoNode && layer.channels.rank == 2;
  if (!matmul || becomes_gemm) {
    Node& node = graph.mutable_node(layer.node);
    if (becomes_gemm) node.op = "Gemm";
    node.inputs.resize(3, kNoValue);
    node.inputs[2] = id;
    return;
  }
  if (layer.add != kNoNode) {
    Node& add = graph.mutable_node(layer.add);
    add.inputs[ConstantInput(graph, add)] = id;
    return;
  }
  const ValueId product = graph.node(layer.node).outputs[0];
  const std::string product_name = graph.value(product).name;
  const NodeId add = graph.InsertAfter(layer.node, "Add", name, {id}, name);
  const ValueId sum = graph.node(add).outputs[0];
  graph.ReplaceUses(product, sum);
  graph.mutable_node(add).inputs = {product, id};
  graph.mutable_value(sum).dtype = graph.value(product).dtype;
  graph.mutable_value(sum).shape = graph.value(product).shape;
  graph.RenameValue(product, product_name + ".product");
  graph.RenameValue(sum, product_name);
}

// The channel of each element of the weight, group by group; `axis` counts
// channels within the group, and the other of the two axes says which group.
template <typename Visit>
void ForEach(const Tensor& weight, const LinearLayer& layer, Visit visit) {
  const auto& dims = weight.dims();
  int64_t inner = 1;
  for (size_t i = 2; i < dims.size(); ++i) inner *= dims[i];
  const bool groups_in_rows = layer.group > 1;
  const int64_t rows_per_group = dims[0] / layer.group;
  for (int64_t i = 0; i < weight.num_elements(); ++i) {
    const int64_t row = i / inner / dims[1], column = i / inner % dims[1];
    const int64_t group = groups_in_rows ? row / rows_per_group : 0;
    // Rows count through all groups, columns within one.
    const int64_t full_column = group * dims[1] + column;
    const bool rows_out = layer.out_axis == 0;
    visit(i, rows_out ? row : full_column, rows_out ? full_column : row);
  }
}

}  // namespace

std::optional<LinearLayer> LinearLayerAt(const Graph& graph, NodeId id) {
  if (id == kNoNode) return std::nullopt;
  const Node& node = graph.node(id);
  const bool conv = node.Is("Conv") || node.Is("ConvTranspose");
  if (!conv && !node.Is("Gemm") && !node.Is("MatMul")) return std::nullopt;
  const Tensor* weight = graph.ConstantOf(node.input(1));
  if (weight == nullptr || weight->dtype() != DType::kFloat32 ||
      !ReadOnce(graph, node.inputs[1])) {
    return std::nullopt;
  }
  LinearLayer layer;
  layer.node = id;
  const bool fits = conv ? FillConv(node, *weight, &layer)
                         : FillMatrix(graph, node, *weight, &layer);
  if (!fits) return std::nullopt;
  if (node.Is("MatMul")) {
    layer.add = BiasAdd(graph, node, layer.outputs, layer.channels.rank);
  } else if (node.input(2) != kNoValue &&
             !IsBias(graph, node.input(2), layer.outputs)) {
    return std::nullopt;
  }
  return layer;
}

ValueId OutputOf(const Graph& graph, const LinearLayer& layer) {
  return graph.node(layer.add == kNoNode ? layer.node : layer.add).outputs[0];
}

void ApplyAfter(Graph& graph, const LinearLayer& layer,
                const ChannelAffine& affine) {
  const ValueId weight_id = graph.node(layer.node).inputs[1];
  const Tensor weight = *graph.ConstantOf(weight_id);
  std::vector<float> values = weight.ToFloats();
  ForEach(weight, layer, [&](int64_t i, int64_t out, int64_t) {
    values[i] *= affine.factor[out];
  });
  std::vector<float> bias = BiasOf(graph, layer);
  for (size_t c = 0; c < bias.size(); ++c) {
    bias[c] = bias[c] * affine.factor[c] + affine.shift[c];
  }
  graph.SetConstant(weight_id, Tensor::Of<float>(weight.dims(), values));
  SetBias(graph, layer, bias);
}

bool TakesBefore(const LinearLayer& layer, const Node& node,
                 const ChannelAffine& affine) {
  if (node.Is("ConvTranspose") || node.Int("transA", 0) != 0 ||
      static_cast<int64_t>(affine.factor.size()) != layer.inputs) {
    return false;
  }
  if (!node.Is("Conv") || affine.ShiftsNothing()) return true;
  const std::string pad = node.String("auto_pad", "NOTSET");
  const std::vector<int64_t> pads = node.Ints("pads");
  return pad == "VALID" ||
         (pad == "NOTSET" && std::all_of(pads.begin(), pads.end(),
                                         [](int64_t v) { return v == 0; }));
}

void ApplyBefore(Graph& graph, const LinearLayer& layer,
                 const ChannelAffine& affine) {
  const ValueId weight_id = graph.node(layer.node).inputs[1];
  const Tensor weight = *graph.ConstantOf(weight_id);
  std::vector<float> values = weight.ToFloats();
  const std::vector<float> bias = BiasOf(graph, layer);
  std::vector<double> sums(bias.begin(), bias.end());
  ForEach(weight, layer, [&](int64_t i, int64_t out, int64_t in) {
    sums[out] += double{values[i]} * affine.shift[in];
    values[i] *= affine.factor[in];
  });
  graph.SetConstant(weight_id, Tensor::Of<float>(weight.dims(), values));
  SetBias(graph, layer, std::vector<float>(sums.begin(), sums.end()));
}

}  // namespace condense::graph
