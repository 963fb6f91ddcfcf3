#include "workers/engine/quantization/smooth_quant.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "workers/engine/quantization/weight_view.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::kNoNode;
using graph::kNoValue;
using graph::Node;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;

// No channel is moved further than this.
constexpr double kFactorMax = 1e4;

class Finder {
 public:
  explicit Finder(const Graph& graph)
      : graph_(graph), consumers_(graph.ConsumerTable()) {
    // A shape does not depend on factors.
    for (std::vector<NodeId>& readers : consumers_) {
      readers.erase(
          std::remove_if(readers.begin(), readers.end(),
                         [&](NodeId id) { return graph.node(id).Is("Shape"); }),
          readers.end());
    }
  }

  std::vector<SmoothSite> Run() {
    std::vector<SmoothSite> sites;
    for (ValueId id : graph_.values()) {
      const auto site = SiteOf(id);
      if (site) sites.push_back(*site);
    }
    return sites;
  }

 private:
  bool IsLinear(NodeId id, ValueId input) const {
    const Node& node = graph_.node(id);
    if (!node.Is("MatMul") && !node.Is("Gemm")) return false;
    const auto view = WeightViewOf(graph_, node);
    return view && node.inputs[0] == input && node.Int("transA", 0) == 0 &&
           node.Float("alpha", 1) == 1 && consumers_[view->weight].size() == 1;
  }

  std::optional<SmoothSite> SiteOf(ValueId id) const {
    if (graph_.IsConstant(id) || graph_.IsOutput(id) ||
        consumers_[id].empty() || !graph_.value(id).shape) {
      return std::nullopt;
    }
    SmoothSite site;
    site.input = id;
    for (NodeId reader : consumers_[id]) {
      if (!IsLinear(reader, id)) return std::nullopt;
      site.readers.push_back(reader);
    }
    const int64_t channels =
        WeightViewOf(graph_, graph_.node(site.readers[0]))->inputs;
    const int64_t rank = static_cast<int64_t>(graph_.value(id).shape->size());
    if (!FindMaker(id, rank - 1, channels, &site)) return std::nullopt;
    return site;
  }

  bool HasChannels(ValueId id, int64_t channels) const {
    return graph_.IsConstant(id) && consumers_[id].size() == 1 &&
           graph_.ConstantOf(id)->num_elements() == channels;
  }

  // Walks up from `id`, whose channels lie along `axis`.
  bool FindMaker(ValueId id, int64_t axis, int64_t channels,
                 SmoothSite* site) const {
    while (true) {
      const NodeId producer = graph_.value(id).producer;
      if (producer == kNoNode || !graph_.value(id).shape) return false;
      const Node& node = graph_.node(producer);
      const auto rank = static_cast<int64_t>(graph_.value(id).shape->size());
      if (node.Is("LayerNormalization") || node.Is("BatchNormalization")) {
        site->maker = producer;
        return axis == (node.Is("LayerNormalization") ? rank - 1 : 1) &&
               node.outputs.size() == 1 &&
               HasChannels(node.input(1), channels) &&
               (node.input(2) == kNoValue ||
                HasChannels(node.input(2), channels));
      }
      if (node.Is("MatMul") || node.Is("Gemm")) {
        site->maker = producer;
        return axis == rank - 1 && IsLinear(producer, node.inputs[0]) &&
               (node.input(2) == kNoValue ||
                HasChannels(node.input(2), channels));
      }
      if (node.Is("Transpose")) {
        const std::vector<int64_t> order = node.Ints("perm");
        axis = order.empty() ? rank - 1 - axis : order[axis];
        id = node.inputs[0];
      } else if (node.Is("Relu")) {
        id = node.inputs[0];
      } else if (node.Is("Add")) {
        const size_t constant = graph_.IsConstant(node.inputs[0]) ? 0 : 1;
        const ValueId shift = node.inputs[constant];
        if (!HasChannels(shift, channels) || axis != rank - 1 ||
            graph_.ConstantOf(shift)->dims().back() != channels) {
          return false;
        }
        site->shifts.push_back(shift);
        id = node.inputs[1 - constant];
      } else {
        return false;
      }
      if (consumers_[id].size() != 1 || graph_.IsOutput(id)) return false;
    }
  }

  const Graph& graph_;
  // Without those that read the shape alone.
  std::vector<std::vector<NodeId>> consumers_;
};

void Divide(ValueId id, const std::vector<double>& factors, Graph* graph) {
  if (id == kNoValue) return;
  const Tensor tensor = *graph->ConstantOf(id);
  std::vector<float> values = tensor.ToFloats();
  for (size_t j = 0; j < values.size(); ++j) {
    values[j] = static_cast<float>(values[j] / factors[j]);
  }
  graph->SetConstant(id, Tensor::Of<float>(tensor.dims(), values));
}

// Multiplies what reads input j, or divides what makes output j.
void ScaleWeight(const Node& node, bool reads,
                 const std::vector<double>& factors, Graph* graph) {
  const WeightView view = *WeightViewOf(*graph, node);
  const Tensor tensor = *graph->ConstantOf(view.weight);
  std::vector<float> values = tensor.ToFloats();
  for (int64_t o = 0; o < view.outputs; ++o) {
    for (int64_t i = 0; i < view.inputs; ++i) {
      float& w = values[view.At(o, i, 0)];
      w = static_cast<float>(reads ? w * factors[i] : w / factors[o]);
    }
  }
  graph->SetConstant(view.weight, Tensor::Of<float>(tensor.dims(), values));
}

std::vector<double> FactorsOf(const SmoothSite& site,
                              const ChannelStatistics& seen, double strength,
                              const Graph& graph) {
  std::vector<double> weights(seen.high.size(), 0);
  for (NodeId reader : site.readers) {
    const WeightView view = *WeightViewOf(graph, graph.node(reader));
    const std::vector<float> values = graph.ConstantOf(view.weight)->ToFloats();
    for (int64_t o = 0; o < view.outputs; ++o) {
      for (int64_t i = 0; i < view.inputs; ++i) {
        weights[i] =
            std::max<double>(weights[i], std::abs(values[view.At(o, i, 0)]));
      }
    }
  }
  std::vector<double> factors;
  for (size_t j = 0; j < weights.size(); ++j) {
    const double most = std::max(std::abs(seen.low[j]), std::abs(seen.high[j]));
    const bool alive = most > 0 && weights[j] > 0;
    factors.push_back(alive ? std::clamp(std::pow(most, strength) /
                                             std::pow(weights[j], 1 - strength),
                                         1 / kFactorMax, kFactorMax)
                            : 1);
  }
  return factors;
}

}  // namespace

std::vector<SmoothSite> FindSmoothSites(const Graph& graph) {
  return Finder(graph).Run();
}

bool HasOutliers(const ChannelStatistics& seen) {
  constexpr double kFar = 8;
  std::vector<double> reach;
  for (size_t j = 0; j < seen.high.size(); ++j) {
    reach.push_back(std::max(std::abs(seen.low[j]), std::abs(seen.high[j])));
  }
  if (reach.empty()) return false;
  std::sort(reach.begin(), reach.end());
  return reach.back() >= kFar * reach[reach.size() / 2];
}

int SmoothActivations(const std::vector<SmoothSite>& sites,
                      const std::map<ValueId, ChannelStatistics>& seen,
                      double strength, Graph* graph) {
  int changed = 0;
  for (const SmoothSite& site : sites) {
    const auto found = seen.find(site.input);
    if (found == seen.end()) continue;
    const std::vector<double> factors =
        FactorsOf(site, found->second, strength, *graph);
    const Node& maker = graph->node(site.maker);
    if (maker.Is("MatMul") || maker.Is("Gemm")) {
      ScaleWeight(maker, false, factors, graph);
    } else {
      Divide(maker.inputs[1], factors, graph);
    }
    Divide(maker.input(2), factors, graph);
    for (ValueId shift : site.shifts) Divide(shift, factors, graph);
    for (NodeId reader : site.readers) {
      ScaleWeight(graph->node(reader), true, factors, graph);
    }
    ++changed;
  }
  return changed;
}

}  // namespace condense::quantization
