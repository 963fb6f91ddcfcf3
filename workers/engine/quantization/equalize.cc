#include "workers/engine/quantization/equalize.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "workers/engine/quantization/channel_classes.h"
#include "workers/engine/quantization/weight_view.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::kNoValue;
using graph::Node;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;

// Room above the largest value seen before a Clip cuts it off.
constexpr double kClipMargin = 1.1;
// A factor beyond this says that a channel is dead.
constexpr double kFactorMax = 1 << 16;
constexpr int kPerTensorRounds = 40;
constexpr int kPerChannelRounds = 4;

class Equalizer {
 public:
  Equalizer(Graph* graph, const std::set<ValueId>& quantized,
            const std::map<ValueId, ChannelStatistics>& seen,
            const EqualizeOptions& options)
      : graph_(*graph),
        quantized_(quantized),
        seen_(seen),
        options_(options),
        classes_(FindChannelClasses(*graph)) {}

  int Run() {
    for (NodeId id : graph_.order()) Load(graph_.node(id));
    for (const auto& [id, its] : seen_) ranges_[id] = RangeOf(its);
    std::vector<double> total(classes_.size(), 1);
    const int rounds =
        options_.per_channel ? kPerChannelRounds : kPerTensorRounds;
    for (int round = 0; round < rounds; ++round) {
      if (options_.per_channel) MeasureScales();
      double moved = 0;
      for (size_t i = 0; i < classes_.size(); ++i) {
        const ChannelClass& its = classes_[i];
        double wanted = options_.per_channel ? total[i] * RaiseOf(its, total[i])
                                             : total[i] * BalanceOf(its);
        wanted = Limit(its, wanted);
        const double factor = wanted / total[i];
        if (factor == 1) continue;
        Scale(its, static_cast<float>(factor));
        total[i] = wanted;
        moved = std::max(moved, std::abs(std::log(factor)));
      }
      if (moved < 1e-4) break;
    }
    Store();
    return static_cast<int>(std::count_if(
        total.begin(), total.end(), [](double factor) { return factor != 1; }));
  }

  void ScaleAll(const std::vector<double>& factors) {
    for (NodeId id : graph_.order()) Load(graph_.node(id));
    for (size_t i = 0; i < classes_.size(); ++i) {
      Scale(classes_[i], static_cast<float>(factors[i % factors.size()]));
    }
    Store();
  }

 private:
  struct Layer {
    WeightView view;
    std::vector<float> weight;
    std::vector<float> bias;
    // Of weights per channel, by output.
    std::vector<double> scales;
  };

  void Load(const Node& node) {
    const auto view = WeightViewOf(graph_, node);
    if (!view || node.Is("MatMul")) return;
    Layer layer;
    layer.view = *view;
    layer.weight = graph_.ConstantOf(view->weight)->ToFloats();
    if (graph_.IsConstant(node.input(2))) {
      layer.bias = graph_.ConstantOf(node.inputs[2])->ToFloats();
    }
    layers_[node.id] = std::move(layer);
  }

  static double RangeOf(const ChannelStatistics& seen) {
    double low = 0, high = 0;
    for (float v : seen.low) low = std::min<double>(low, v);
    for (float v : seen.high) high = std::max<double>(high, v);
    return high - low;
  }

  // Over the weights that output channel `o` has.
  template <typename Visit>
  void EachOfOutput(const Layer& layer, int64_t o, const Visit& visit) const {
    const WeightView& view = layer.view;
    for (int64_t i = 0; i < view.inputs; ++i) {
      for (int64_t k = 0; k < view.kernel; ++k) visit(view.At(o, i, k), o);
    }
  }
  // Over those that read input channel `c` of the node.
  template <typename Visit>
  void EachOfInput(const Layer& layer, int64_t c, const Visit& visit) const {
    const WeightView& view = layer.view;
    const int64_t group = c / view.inputs;
    const int64_t first = group * view.outputs_per_group();
    for (int64_t o = first; o < first + view.outputs_per_group(); ++o) {
      for (int64_t k = 0; k < view.kernel; ++k) {
        visit(view.At(o, c % view.inputs, k), o);
      }
    }
  }

  // sqrt(r_reader / r_maker), arXiv:1906.04721 section 4.1.
  double BalanceOf(const ChannelClass& its) const {
    double made = 0, read = 0;
    for (const auto& use : its.made_by) {
      const Layer& layer = layers_.at(use.node);
      EachOfOutput(layer, use.channel, [&](int64_t at, int64_t) {
        made = std::max<double>(made, std::abs(layer.weight[at]));
      });
    }
    for (const auto& use : its.read_by) {
      const Layer& layer = layers_.at(use.node);
      EachOfInput(layer, use.channel, [&](int64_t at, int64_t) {
        read = std::max<double>(read, std::abs(layer.weight[at]));
      });
    }
    return made > 0 && read > 0 ? std::sqrt(read / made) : 1;
  }

  void MeasureScales() {
    const double steps = std::exp2(options_.weight_bits - 1) - 1;
    for (auto& [id, layer] : layers_) {
      layer.scales.assign(layer.view.outputs, 0);
      for (int64_t o = 0; o < layer.view.outputs; ++o) {
        EachOfOutput(layer, o, [&, &its = layer](int64_t at, int64_t) {
          its.scales[o] =
              std::max<double>(its.scales[o], std::abs(its.weight[at]) / steps);
        });
      }
    }
  }

  // (A / B)^(1/4) for the class as it is, after `total` was applied.
  double RaiseOf(const ChannelClass& its, double total) const {
    const double levels = std::exp2(options_.activation_bits) - 1;
    double activation = 0, tensors = 0, square = 0;
    for (const Channel& member : its.members) {
      const auto range = ranges_.find(member.value);
      if (quantized_.count(member.value) == 0 || range == ranges_.end()) {
        continue;
      }
      activation += std::pow(range->second / levels, 2) / 12;
      square += seen_.at(member.value).mean_square[member.channel];
      ++tensors;
    }
    if (tensors == 0) return 1;
    square *= total * total / tensors;
    double read = 0, weights = 0;
    for (const auto& use : its.read_by) {
      const Layer& layer = layers_.at(use.node);
      EachOfInput(layer, use.channel, [&](int64_t at, int64_t o) {
        read += double{layer.weight[at]} * layer.weight[at];
        if (!layer.view.is_depthwise()) {
          weights += layer.scales[o] * layer.scales[o] / 12;
        }
      });
    }
    // What one of several tensors adds passes about half of the readers.
    const double a = activation * read * (tensors + 1) / (2 * tensors);
    const double b = weights * square;
    if (a <= 0) return 1;
    return b > 0 ? std::pow(a / b, 0.25) : kFactorMax;
  }

  // What the range of the tensors and the bounds of Clip nodes allow.
  double Limit(const ChannelClass& its, double factor) const {
    double most = kFactorMax;
    for (const ChannelClass::Bound& bound : its.bounds) {
      const auto found = seen_.find(bound.input.value);
      if (found == seen_.end()) return 1;
      const double high = found->second.high[bound.input.channel];
      const double low = found->second.low[bound.input.channel];
      if (high >= bound.high || (bound.low < 0 && low <= bound.low)) return 1;
      if (high > 0) most = std::min(most, bound.high / (high * kClipMargin));
      if (bound.low < 0 && low < 0) {
        most = std::min(most, bound.low / (low * kClipMargin));
      }
    }
    if (options_.per_channel) {
      bool alive = false;
      for (const Channel& member : its.members) {
        const auto found = seen_.find(member.value);
        if (quantized_.count(member.value) == 0 || found == seen_.end()) {
          continue;
        }
        const double range = std::max(0.f, found->second.high[member.channel]) -
                             std::min(0.f, found->second.low[member.channel]);
        if (range <= 0) continue;
        alive = true;
        most = std::min(most, ranges_.at(member.value) / range);
      }
      if (!alive) return 1;
      factor = std::max(factor, 1.0);
    }
    return most < 1 ? (options_.per_channel ? 1 : std::min(factor, most))
                    : std::min(factor, most);
  }

  void Scale(const ChannelClass& its, float factor) {
    for (const auto& use : its.made_by) {
      Layer& layer = layers_.at(use.node);
      EachOfOutput(layer, use.channel,
                   [&](int64_t at, int64_t) { layer.weight[at] *= factor; });
      if (!layer.bias.empty()) layer.bias[use.channel] *= factor;
    }
    for (const auto& use : its.read_by) {
      Layer& layer = layers_.at(use.node);
      EachOfInput(layer, use.channel,
                  [&](int64_t at, int64_t) { layer.weight[at] /= factor; });
    }
    for (const auto& use : its.shifted_by) {
      const ValueId id =
          graph_.node(use.node)
              .inputs[graph_.IsConstant(graph_.node(use.node).inputs[0]) ? 0
                                                                         : 1];
      if (shifts_.count(id) == 0) {
        shifts_[id] = graph_.ConstantOf(id)->ToFloats();
      }
      shifts_[id][use.channel] *= factor;
    }
  }

  void StoreConstant(ValueId id, const std::vector<float>& values) {
    graph_.SetConstant(
        id, Tensor::Of<float>(graph_.ConstantOf(id)->dims(), values));
  }

  void Store() {
    for (const auto& [id, layer] : layers_) {
      StoreConstant(layer.view.weight, layer.weight);
      if (!layer.bias.empty()) {
        StoreConstant(graph_.node(id).inputs[2], layer.bias);
      }
    }
    for (const auto& [id, values] : shifts_) StoreConstant(id, values);
  }

  Graph& graph_;
  const std::set<ValueId> quantized_;
  const std::map<ValueId, ChannelStatistics> seen_;
  const EqualizeOptions options_;
  const std::vector<ChannelClass> classes_;
  std::map<NodeId, Layer> layers_;
  std::map<ValueId, std::vector<float>> shifts_;
  std::map<ValueId, double> ranges_;
};

}  // namespace

int EqualizeLayers(Graph* graph, const std::set<ValueId>& quantized,
                   const std::map<ValueId, ChannelStatistics>& seen,
                   const EqualizeOptions& options) {
  return Equalizer(graph, quantized, seen, options).Run();
}

void ScaleChannelClasses(const std::vector<double>& factors, Graph* graph) {
  Equalizer(graph, {}, {}, {}).ScaleAll(factors);
}

std::vector<ValueId> ValuesToEqualize(const Graph& graph,
                                      const std::set<ValueId>& quantized) {
  std::set<ValueId> values = quantized;
  for (NodeId id : graph.order()) {
    if (graph.node(id).Is("Clip")) values.insert(graph.node(id).inputs[0]);
  }
  return {values.begin(), values.end()};
}

}  // namespace condense::quantization
