#include "workers/engine/quantization/weight_quantizer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "workers/engine/quantization/weight_tables.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/runtime/weight_grid.h"
#include "workers/engine/runtime/weight_projection.h"

namespace condense::quantization {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;

namespace {

// `table` is for schemes that have one.
TableProjection Project(const Tensor& weight, const WeightGrid& grid,
                        const Tensor* table) {
  if (const auto kind = TableKindOf(grid.scheme)) {
    return ProjectOnTable(weight, grid.axis, *kind, *table, grid.levels.qmax);
  }
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
  TableProjection out;
  out.scales.resize(channels);
  runtime::ProjectChannels(*runtime::ProjectionOf(grid.scheme), values.data(),
                           outer, channels, inner, grid.levels.qmax,
                           values.data(), out.scales.data());
  out.weight = Tensor::Of<float>(weight.dims(), values);
  return out;
}

// Empty for schemes without one.
Tensor TableOf(const Tensor& weight, const WeightGrid& grid) {
  const auto kind = TableKindOf(grid.scheme);
  return kind ? FitTable(weight, grid.axis, *kind, grid.code_bits) : Tensor();
}

// Scale and zero point, and the table of schemes that have one.
struct GridConstants {
  Tensor scale;
  Tensor zero_point;
  Tensor table = {};
};

runtime::FakeQuantizeOptions OptionsOf(const WeightGrid& grid) {
  return {.qmin = grid.levels.qmin,
          .qmax = grid.levels.qmax,
          .axis = grid.axis,
          .block = grid.block_size};
}

GridConstants ConstantsOf(const Tensor& weight, const WeightGrid& grid) {
  if (grid.block_size > 0 || grid.scheme == "affine") {
    torch::Tensor w = runtime::ToTorch(weight).value();
    if (grid.rows) w = runtime::AsRows(w);
    const runtime::FittedGrid fitted = runtime::FitGrid(w, OptionsOf(grid));
    return {runtime::FromTorch(fitted.scale),
            runtime::FromTorch(fitted.zero_point, graph::DType::kInt32)};
  }
  Tensor table = TableOf(weight, grid);
  const std::vector<float> scales = Project(weight, grid, &table).scales;
  const std::vector<int64_t> dims =
      grid.axis < 0 ? std::vector<int64_t>{}
                    : std::vector<int64_t>{static_cast<int64_t>(scales.size())};
  return {Tensor::Of<float>(dims, scales),
          Tensor::Of<int32_t>(dims, std::vector<int32_t>(scales.size(), 0)),
          std::move(table)};
}

std::string StorageOf(const WeightGrid& grid) {
  const bool is_signed = grid.levels.qmin < 0;
  const int64_t most = grid.levels.qmax;
  const int bits = grid.packed && most <= (is_signed ? 7 : 15) ? 4
                   : most <= (is_signed ? 127 : 255)           ? 8
                                                               : 16;
  return absl::StrCat(is_signed ? "int" : "uint", bits);
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

void SetBlocks(const Node& node, const Tensor& weight, int64_t block_size,
               WeightGrid* grid) {
  if (weight.rank() < 2) return;
  grid->block_size = block_size;
  grid->rows = node.Is("Conv");
  const bool outputs_first = grid->rows || node.Int("transB", 0) != 0;
  grid->axis = outputs_first ? 1 : weight.rank() - 2;
}

void QuantizeWeight(Graph* graph, NodeId layer, const WeightGrid& grid) {
  const ValueId weight_id = graph->node(layer).inputs[1];
  const Tensor weight = *graph->ConstantOf(weight_id);
  GridConstants constants = ConstantsOf(weight, grid);
  const std::string name = graph->value(weight_id).name;
  const ValueId scale =
      graph->AddConstant(name + ".scale", std::move(constants.scale));
  const ValueId zero =
      graph->AddConstant(name + ".zero_point", std::move(constants.zero_point));
  std::map<std::string, graph::Attribute> attrs = {
      {"qmin", grid.levels.qmin},
      {"qmax", grid.levels.qmax},
      {"dtype", StorageOf(grid)},
      {"role", std::string("weight")}};
  if (grid.axis >= 0) attrs["axis"] = grid.axis;
  if (grid.block_size > 0) attrs["block_size"] = grid.block_size;
  if (grid.rows) attrs["rows"] = int64_t{1};
  if (grid.scheme != "max_abs" && grid.scheme != "affine") {
    attrs["scheme"] = grid.scheme;
  }
  if (grid.code_bits > 0) {
    attrs["code_bits"] = int64_t{grid.code_bits};
    if (grid.packed) attrs["code_dtype"] = std::string("uint4");
  }
  std::vector<ValueId> inputs = {weight_id, scale, zero};
  if (TableKindOf(grid.scheme)) {
    inputs.push_back(
        graph->AddConstant(name + ".table", std::move(constants.table)));
  }
  const NodeId quantizer =
      graph->InsertBefore(layer, "FakeQuantize", name + ".quantize", inputs,
                          name + ".quantized", attrs, "condense");
  graph->mutable_node(layer).inputs[1] = graph->node(quantizer).outputs[0];
}

std::map<NodeId, NodeId> WeightQuantizers(const Graph& graph) {
  std::map<NodeId, NodeId> found;
  for (NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (!node.Is("Conv") && !node.Is("Gemm") && !node.Is("MatMul")) continue;
    const NodeId producer = graph.value(node.inputs[1]).producer;
    if (producer == graph::kNoNode) continue;
    const Node& quantizer = graph.node(producer);
    if (quantizer.IsFakeQuantize() &&
        quantizer.String("role", "") == "weight") {
      found[id] = producer;
    }
  }
  return found;
}

WeightGrid WeightGridOf(const Node& quantizer) {
  const Levels levels = {quantizer.Int("qmin", -127),
                         quantizer.Int("qmax", 127)};
  const std::string dtype = quantizer.String("dtype", "int8");
  return {quantizer.Int("axis", -1),
          levels,
          levels.qmin < 0 ? quantizer.String("scheme", "max_abs") : "affine",
          dtype == "int4" || dtype == "uint4" || quantizer.Has("code_dtype"),
          quantizer.Int("block_size", 0),
          quantizer.Int("rows", 0) != 0,
          static_cast<int>(quantizer.Int("code_bits", 0))};
}

Levels SchemeLevels(const std::string& scheme, int bits) {
  if (TableKindOf(scheme)) return {-63, 63};
  if (scheme == "affine") return {0, (int64_t{1} << bits) - 1};
  int64_t most = (int64_t{1} << (bits - 1)) - 1;
  if (scheme == "binary" || scheme == "ternary") most = 1;
  // 2^(b-1) - 1 powers of two of each sign, from 1 on.
  if (scheme == "log2") most = int64_t{1} << std::max<int64_t>(0, most - 1);
  return {-most, most};
}

void SetProjected(Graph* graph, NodeId quantizer, const Tensor& weight,
                  const std::vector<float>& scales) {
  Node& node = graph->mutable_node(quantizer);
  const std::vector<int64_t> dims = graph->ConstantOf(node.inputs[1])->dims();
  graph->SetConstant(node.inputs[0], weight);
  graph->SetConstant(node.inputs[1], Tensor::Of<float>(dims, scales));
  node.attrs.erase("scheme");
  node.inputs.resize(3);
}

void ProjectWeight(Graph* graph, NodeId quantizer) {
  const Node& node = graph->node(quantizer);
  const TableProjection projected =
      Project(*graph->ConstantOf(node.inputs[0]), WeightGridOf(node),
              graph->ConstantOf(node.input(3)));
  SetProjected(graph, quantizer, projected.weight, projected.scales);
}

Tensor ProjectedWeight(const Tensor& weight, const WeightGrid& grid) {
  if (grid.block_size == 0 && grid.scheme != "affine") {
    const Tensor table = TableOf(weight, grid);
    return Project(weight, grid, &table).weight;
  }
  const torch::Tensor plain = runtime::ToTorch(weight).value();
  const torch::Tensor w = grid.rows ? runtime::AsRows(plain) : plain;
  const runtime::FakeQuantizeOptions options = OptionsOf(grid);
  const runtime::FittedGrid fitted = runtime::FitGrid(w, options);
  const torch::Tensor scale = runtime::SpreadGrid(fitted.scale, w, options);
  const torch::Tensor zero = runtime::SpreadGrid(fitted.zero_point, w, options);
  const torch::Tensor level =
      ((w / scale).round() + zero).clamp(options.qmin, options.qmax);
  return runtime::FromTorch(((level - zero) * scale).reshape(plain.sizes()));
}

void ProjectWeights(Graph* graph) {
  for (NodeId id : graph->order()) {
    const Node& node = graph->node(id);
    if (node.IsFakeQuantize() && node.Has("scheme")) ProjectWeight(graph, id);
  }
  graph->RemoveDeadValues();
}

std::vector<float> WeightScales(const Tensor& weight, int64_t axis,
                                int64_t qmax) {
  return Project(weight, {axis, {-qmax, qmax}}, nullptr).scales;
}

}  // namespace condense::quantization
