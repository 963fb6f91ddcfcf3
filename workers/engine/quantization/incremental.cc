#include "workers/engine/quantization/incremental.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>

#include "workers/engine/quantization/bit_sensitivity.h"
#include "workers/engine/quantization/quantizers_in_graph.h"
#include "workers/engine/quantization/weight_quantizer.h"
#include "workers/engine/runtime/weight_projection.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Tensor;

constexpr char kFrozen[] = "frozen";

std::vector<uint8_t> FrozenOf(const Node& quantizer, int64_t elements) {
  const auto it = quantizer.attrs.find(kFrozen);
  if (it == quantizer.attrs.end()) return std::vector<uint8_t>(elements, 0);
  std::vector<uint8_t> frozen;
  for (int64_t value : std::get<Tensor>(it->second).ToInts()) {
    frozen.push_back(static_cast<uint8_t>(value));
  }
  return frozen;
}

// The largest weights that are still free, as many as `share` lacks.
std::vector<int64_t> Next(const std::vector<float>& weight,
                          const std::vector<uint8_t>& frozen, double share) {
  std::vector<int64_t> free;
  for (size_t i = 0; i < weight.size(); ++i) {
    if (!frozen[i]) free.push_back(static_cast<int64_t>(i));
  }
  const int64_t size = static_cast<int64_t>(weight.size());
  const int64_t wanted = std::llround(share * static_cast<double>(size)) -
                         (size - static_cast<int64_t>(free.size()));
  std::stable_sort(free.begin(), free.end(), [&](int64_t a, int64_t b) {
    return std::abs(weight[a]) > std::abs(weight[b]);
  });
  free.resize(std::clamp<int64_t>(wanted, 0, free.size()));
  return free;
}

// The scale of each element's channel.
class Scales {
 public:
  Scales(const Tensor& weight, const Tensor& scales, int64_t axis)
      : values_(scales.ToFloats()) {
    for (int64_t i = axis + 1; i < weight.rank(); ++i) {
      inner_ *= weight.dims()[i];
    }
  }
  float Of(int64_t element) const {
    if (values_.size() == 1) return values_[0];
    return values_[element / inner_ % static_cast<int64_t>(values_.size())];
  }

 private:
  const std::vector<float> values_;
  int64_t inner_ = 1;
};

void FreezeLayer(Graph* graph, const WeightLayer& layer, double share) {
  Node& quantizer = graph->mutable_node(layer.quantizer);
  const Tensor weight = *graph->ConstantOf(layer.weight);
  std::vector<float> values = weight.ToFloats();
  std::vector<uint8_t> frozen = FrozenOf(quantizer, weight.num_elements());
  const Scales scales(weight, *graph->ConstantOf(quantizer.inputs[1]),
                      layer.grid.axis);
  for (int64_t i : Next(values, frozen, share)) {
    values[i] =
        runtime::NearestLevel(*runtime::ProjectionOf(layer.grid.scheme),
                              values[i], scales.Of(i), layer.grid.levels.qmax);
    frozen[i] = 1;
  }
  graph->SetConstant(layer.weight, Tensor::Of<float>(weight.dims(), values));
  if (share < 1) {
    quantizer.attrs[kFrozen] = Tensor::Of<uint8_t>(weight.dims(), frozen);
  } else {
    quantizer.attrs.erase(kFrozen);
    quantizer.attrs.erase("scheme");
  }
}

}  // namespace

void FreezeShare(Graph* graph, double share) {
  for (const WeightLayer& layer : WeightLayers(*graph)) {
    FreezeLayer(graph, layer, share);
  }
}

Graph WithoutWeightQuantizers(const Graph& graph) {
  return WithoutQuantizers(graph, [](NodeId, const Node& node) {
    return node.String("role", "") == "weight";
  });
}

FrozenWeights::FrozenWeights(const Graph& graph, runtime::Executor* executor) {
  for (const WeightLayer& layer : WeightLayers(graph)) {
    const Tensor& weight = *graph.ConstantOf(layer.weight);
    const std::vector<uint8_t> frozen =
        FrozenOf(graph.node(layer.quantizer), weight.num_elements());
    for (runtime::Parameter& parameter : executor->parameters()) {
      if (parameter.name != graph.value(layer.weight).name) continue;
      const torch::Device device = parameter.tensor.device();
      Held held;
      held.weight = parameter.tensor;
      held.frozen = torch::tensor(frozen)
                        .reshape(weight.dims())
                        .to(torch::kBool)
                        .to(device);
      held.values =
          torch::tensor(weight.ToFloats()).reshape(weight.dims()).to(device);
      held.weight.register_hook([mask = held.frozen](torch::Tensor gradient) {
        return gradient.masked_fill(mask, 0);
      });
      held_.push_back(std::move(held));
    }
  }
}

void FrozenWeights::Hold() {
  const torch::NoGradGuard no_grad;
  for (const Held& held : held_) {
    held.weight.copy_(torch::where(held.frozen, held.values, held.weight));
  }
}

}  // namespace condense::quantization
