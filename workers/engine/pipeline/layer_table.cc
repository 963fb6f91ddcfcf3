#include "workers/engine/pipeline/layer_table.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "workers/engine/graph/bodies.h"
#include "workers/engine/quantization/stored_levels.h"

namespace condense::pipeline {
namespace {

using graph::Graph;
using graph::kNoNode;
using graph::Node;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;

// The FakeQuantize that makes this value, or nullptr.
const Node* QuantizerOf(const Graph& graph, ValueId id) {
  if (id == graph::kNoValue) return nullptr;
  const NodeId producer = graph.value(id).producer;
  if (producer == kNoNode) return nullptr;
  const Node& node = graph.node(producer);
  return node.IsFakeQuantize() ? &node : nullptr;
}

const Tensor* WeightOf(const Graph& graph, const Node& node) {
  if (!node.Is("Conv") && !node.Is("Gemm") && !node.Is("MatMul")) {
    return nullptr;
  }
  const Node* quantizer = QuantizerOf(graph, node.input(1));
  return graph.ConstantOf(quantizer ? quantizer->inputs[0] : node.input(1));
}

int64_t ChannelAxis(const Node& node, const Tensor& weight) {
  if (node.Is("Conv")) return 0;
  if (node.Is("Gemm")) return node.Int("transB", 0) ? 0 : 1;
  return weight.rank() - 1;
}

int BitsOf(const Node& quantizer) {
  if (quantizer.Has("code_bits")) {
    return static_cast<int>(quantizer.Int("code_bits", 0));
  }
  const int64_t levels =
      quantizer.Int("qmax", 127) - quantizer.Int("qmin", -127) + 1;
  return static_cast<int>(std::ceil(std::log2(static_cast<double>(levels))));
}

void DescribeWeight(const Graph& graph, const Node& quantizer,
                    const Tensor& weight, report::Layer* layer) {
  layer->bits_weight = BitsOf(quantizer);
  const auto stored = quantization::StoredQuantizerOf(graph, quantizer);
  if (!stored.ok()) return;
  layer->scheme = stored->levels.qmin < 0 ? "symmetric" : "affine";
  layer->granularity = stored->block_size > 0 ? "block"
                       : stored->axis < 0     ? "tensor"
                                              : "channel";
  const double snr = quantization::SignalToNoiseDb(weight, weight, *stored);
  if (std::isfinite(snr)) layer->snr_db = snr;
  layer->size_bytes = Tensor::ByteSize(
      quantizer.Has("code_dtype") ? graph::DType::kUint4 : stored->dtype,
      weight.dims());
}

std::string FrozenReason(const std::map<std::string, std::string>& frozen,
                         const std::string& profile, const std::string& name) {
  std::string out;
  const auto prune = frozen.find("prune/" + name);
  if (prune != frozen.end()) out = "pruning: " + prune->second;
  const auto quantize =
      frozen.find(absl::StrCat("quantize/", profile, "/", name));
  if (quantize != frozen.end()) {
    absl::StrAppend(&out, out.empty() ? "" : "; ",
                    "quantization: ", quantize->second);
  }
  return out;
}

}  // namespace

std::vector<report::Layer> LayerTable(
    const Graph& before, const Graph& after,
    const std::map<std::string, std::string>& frozen,
    const std::map<std::string, double>& weight_snr_db,
    const std::string& profile) {
  std::vector<report::Layer> layers;
  for (NodeId id : after.order()) {
    const Node& node = after.node(id);
    const Tensor* weight = WeightOf(after, node);
    if (weight == nullptr) continue;
    report::Layer layer;
    layer.name = node.name;
    layer.op = node.op;
    layer.channels_after = weight->dims()[ChannelAxis(node, *weight)];
    const NodeId original = before.FindNode(node.name);
    if (original != kNoNode) {
      const Node& old = before.node(original);
      if (const Tensor* tensor = WeightOf(before, old)) {
        layer.channels_before = tensor->dims()[ChannelAxis(old, *tensor)];
      }
    }
    const std::vector<float> values = weight->ToFloats();
    layer.sparsity =
        static_cast<double>(std::count(values.begin(), values.end(), 0.0f)) /
        static_cast<double>(std::max<size_t>(1, values.size()));
    layer.size_bytes = static_cast<int64_t>(weight->bytes().size());
    if (const Node* quantizer = QuantizerOf(after, node.input(1))) {
      DescribeWeight(after, *quantizer, *weight, &layer);
      const auto known =
          weight_snr_db.find(absl::StrCat(profile, "/", node.name));
      if (known != weight_snr_db.end()) layer.snr_db = known->second;
    }
    if (const Node* x = QuantizerOf(after, node.input(0))) {
      layer.bits_activation = BitsOf(*x);
    }
    layer.frozen_reason = FrozenReason(frozen, profile, node.name);
    layers.push_back(std::move(layer));
  }
  for (const graph::InnerLayer& inner : graph::InnerLayers(after)) {
    report::Layer layer;
    layer.name = inner.name;
    layer.op = inner.op;
    layer.size_bytes = inner.bytes;
    layer.frozen_reason = FrozenReason(frozen, profile, inner.name);
    layers.push_back(std::move(layer));
  }
  return layers;
}

}  // namespace condense::pipeline
