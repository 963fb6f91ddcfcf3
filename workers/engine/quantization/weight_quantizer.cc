#include "workers/engine/quantization/weight_quantizer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "workers/engine/runtime/weight_projection.h"

namespace condense::quantization {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;

namespace {

struct Projected {
  Tensor weight;
  std::vector<float> scales;
};

Projected Project(const Tensor& weight, const WeightGrid& grid) {
  std::vector<float> values = weight.ToFloats();
  int64_t channels = 1, inner = weight.num_elements(), outer = 1;
  if (grid.axis >= 0) {
    channels = weight.dims()[grid.axis];
    inner = 1;
    for (int64_t i = grid.axis + 1; i < weight.rank(); ++i) {
      inner *= weight.dims()[i];
    }
    outer = weight.num_elements() / (channels * inner);
  }
  Projected out;
  out.scales.resize(channels);
  runtime::ProjectChannels(*runtime::ProjectionOf(grid.scheme), values.data(),
                           outer, channels, inner, grid.levels.qmax,
                           values.data(), out.scales.data());
  out.weight = Tensor::Of<float>(weight.dims(), values);
  return out;
}

}  // namespace

bool HasWeight(const Graph& graph, const Node& node) {
  return (node.Is("Conv") || node.Is("Gemm") || node.Is("MatMul")) &&
         graph.IsConstant(node.input(1));
}

int64_t ChannelAxis(const Node& node, const Tensor& weight) {
  if (node.Is("Conv")) return 0;
  if (node.Is("Gemm")) return node.Int("transB", 0) ? 0 : 1;
  return weight.rank() < 2 ? -1 : weight.rank() - 1;
}

void QuantizeWeight(Graph* graph, NodeId layer, const WeightGrid& grid) {
  const ValueId weight_id = graph->node(layer).inputs[1];
  const Tensor weight = *graph->ConstantOf(weight_id);
  const std::vector<float> scales = Project(weight, grid).scales;
  const std::vector<int64_t> dims =
      grid.axis < 0 ? std::vector<int64_t>{}
                    : std::vector<int64_t>{static_cast<int64_t>(scales.size())};
  const std::string name = graph->value(weight_id).name;
  const ValueId scale =
      graph->AddConstant(name + ".scale", Tensor::Of<float>(dims, scales));
  const ValueId zero = graph->AddConstant(
      name + ".zero_point",
      Tensor::Of<int32_t>(dims, std::vector<int32_t>(scales.size(), 0)));
  std::map<std::string, graph::Attribute> attrs = {
      {"qmin", grid.levels.qmin},
      {"qmax", grid.levels.qmax},
      {"dtype",
       std::string(grid.packed && grid.levels.qmax <= 7 ? "int4" : "int8")},
      {"role", std::string("weight")}};
  if (grid.axis >= 0) attrs["axis"] = grid.axis;
  if (grid.scheme != "max_abs") attrs["scheme"] = grid.scheme;
  const NodeId quantizer = graph->InsertBefore(
      layer, "FakeQuantize", name + ".quantize", {weight_id, scale, zero},
      name + ".quantized", attrs, "condense");
  graph->mutable_node(layer).inputs[1] = graph->node(quantizer).outputs[0];
}

WeightGrid WeightGridOf(const Node& quantizer) {
  return {quantizer.Int("axis", -1),
          {quantizer.Int("qmin", -127), quantizer.Int("qmax", 127)},
          quantizer.String("scheme", "max_abs"),
          quantizer.String("dtype", "int8") == "int4"};
}

Levels SchemeLevels(const std::string& scheme, int bits) {
  int64_t most = (int64_t{1} << (bits - 1)) - 1;
  if (scheme == "binary" || scheme == "ternary") most = 1;
  // 2^(b-1) - 1 powers of two of each sign, from 1 on.
  if (scheme == "log2") most = int64_t{1} << std::max<int64_t>(0, most - 1);
  return {-most, most};
}

void ProjectWeights(Graph* graph) {
  for (NodeId id : graph->order()) {
    Node& node = graph->mutable_node(id);
    if (!node.IsFakeQuantize() || !node.Has("scheme")) continue;
    const Projected projected =
        Project(*graph->ConstantOf(node.inputs[0]), WeightGridOf(node));
    const std::vector<int64_t> dims = graph->ConstantOf(node.inputs[1])->dims();
    graph->SetConstant(node.inputs[0], projected.weight);
    graph->SetConstant(node.inputs[1],
                       Tensor::Of<float>(dims, projected.scales));
    node.attrs.erase("scheme");
  }
}

std::vector<float> WeightScales(const Tensor& weight, int64_t axis,
                                int64_t qmax) {
  return Project(weight, {axis, {-qmax, qmax}}).scales;
}

}  // namespace condense::quantization
