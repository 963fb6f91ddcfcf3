#include "workers/engine/pruning/plan.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "workers/engine/graph/cost.h"

namespace condense::pruning {
namespace {

// What a graph would cost with some channels gone, without cutting it: every
// constant shrinks by the share of each axis that stays, and a layer's
// multiply-accumulates with its weight.
class CostModel {
 public:
  CostModel(const graph::Graph& graph, const Coupling& coupling)
      : coupling_(coupling) {
    const std::vector<graph::Cost> costs = graph::CostPerNode(graph);
    for (graph::NodeId id : graph.order()) {
      const graph::Node& node = graph.node(id);
      const double macs = static_cast<double>(costs[id].macs);
      if (macs > 0) macs_.push_back({node.input(1), macs});
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        AddParameters(graph, node, i);
      }
    }
    for (graph::ValueId id : graph.values()) {
      if (const graph::Tensor* tensor = graph.ConstantOf(id)) {
        for (int64_t axis = 0; axis < tensor->rank(); ++axis) {
          size_[{id, axis}] = static_cast<double>(tensor->dims()[axis]);
        }
      }
    }
  }

  // {macs, parameters}.
  std::pair<double, double> After(const std::vector<bool>& removed) const {
    std::map<std::pair<graph::ValueId, int64_t>, int64_t> gone;
    for (size_t c = 0; c < removed.size(); ++c) {
      if (!removed[c]) continue;
      for (const Slice& slice : coupling_.channels[c].slices) {
        ++gone[{slice.constant, slice.axis}];
      }
    }
    std::map<graph::ValueId, double> share;
    for (const auto& [key, count] : gone) {
      const double size = size_.at(key);
      share.emplace(key.first, 1.0).first->second *=
          (size - static_cast<double>(count)) / size;
    }
    const auto scaled = [&share](const auto& terms) {
      double sum = 0;
      for (const auto& [id, amount] : terms) {
        const auto it = share.find(id);
        sum += it == share.end() ? amount : amount * it->second;
      }
      return sum;
    };
    return {scaled(macs_), scaled(parameters_)};
  }

 private:
  void AddParameters(const graph::Graph& graph, const graph::Node& node,
                     size_t input) {
    const graph::Tensor* tensor = graph.ConstantOf(node.inputs[input]);
    const bool statistic = node.Is("BatchNormalization") && input >= 3;
    if (tensor == nullptr || statistic || !graph::IsFloating(tensor->dtype())) {
      return;
    }
    parameters_[node.inputs[input]] =
        static_cast<double>(tensor->num_elements());
  }

  const Coupling& coupling_;
  std::vector<std::pair<graph::ValueId, double>> macs_;
  std::map<graph::ValueId, double> parameters_;
  std::map<std::pair<graph::ValueId, int64_t>, double> size_;
};

// Removes the `count` first of `order`, as far as each cluster's floor and
// multiple let it.
std::vector<bool> RemoveFirst(const Coupling& coupling,
                              const std::vector<int>& order, size_t count,
                              const PlanOptions& options) {
  std::vector<int> cluster_of(coupling.channels.size(), -1);
  std::vector<std::vector<int>> chosen(coupling.clusters.size());
  for (size_t k = 0; k < coupling.clusters.size(); ++k) {
    for (int c : coupling.clusters[k].channels) {
      cluster_of[c] = static_cast<int>(k);
    }
  }
  for (size_t i = 0; i < count; ++i) {
    chosen[cluster_of[order[i]]].push_back(order[i]);
  }
  std::vector<bool> removed(coupling.channels.size(), false);
  for (size_t k = 0; k < coupling.clusters.size(); ++k) {
    const auto total =
        static_cast<int64_t>(coupling.clusters[k].channels.size());
    const int64_t multiple = std::max<int64_t>(1, options.channel_multiple);
    const auto floor = std::max<int64_t>(
        1, std::llround(std::ceil(options.floor * static_cast<double>(total))));
    int64_t stay = std::max<int64_t>(
        floor, total - static_cast<int64_t>(chosen[k].size()));
    stay = std::min(total, (stay + multiple - 1) / multiple * multiple);
    for (int64_t i = 0; i < total - stay; ++i) removed[chosen[k][i]] = true;
  }
  return removed;
}

}  // namespace

Plan MakePlan(const graph::Graph& graph, const Coupling& coupling,
              const std::vector<double>& scores, const PlanOptions& options) {
  const CostModel model(graph, coupling);
  std::vector<int> order(coupling.channels.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return scores[a] < scores[b]; });
  const auto at = [&](size_t count) {
    Plan plan;
    plan.removed = RemoveFirst(coupling, order, count, options);
    std::tie(plan.macs, plan.parameters) = model.After(plan.removed);
    plan.removed_channels =
        std::count(plan.removed.begin(), plan.removed.end(), true);
    const double cost =
        options.budget == Budget::kMacs ? plan.macs : plan.parameters;
    plan.reached = cost <= options.limit;
    return plan;
  };
  // Costs fall as more channels go, so the least number is found by halving.
  size_t low = 0;
  size_t high = order.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (at(middle).reached) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return at(low);
}

}  // namespace condense::pruning
