#include "workers/engine/pruning/coupling.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "workers/engine/graph/bodies.h"
#include "workers/engine/pruning/channel_walk.h"
#include "workers/engine/pruning/units.h"

namespace condense::pruning {
namespace {

using graph::Graph;
using graph::NodeId;

// The constants and axes that a channel touches, how often each.
using Signature = std::map<std::pair<graph::ValueId, int64_t>, int>;

Signature SignatureOf(const Channel& channel) {
  Signature signature;
  for (const Slice& slice : channel.slices) {
    ++signature[{slice.constant, slice.axis}];
  }
  return signature;
}

// Roots of the walk to indices of Coupling::channels.
std::vector<int> NumberChannels(Units& units, Coupling* coupling) {
  std::vector<int> number(units.size(), -1);
  for (int unit = 0; unit < units.size(); ++unit) {
    if (units.Find(unit) != unit || !units.FrozenReason(unit).empty() ||
        units.Slices(unit).empty()) {
      continue;
    }
    number[unit] = static_cast<int>(coupling->channels.size());
    Channel channel{units.Slices(unit)};
    std::sort(channel.slices.begin(), channel.slices.end());
    coupling->channels.push_back(std::move(channel));
  }
  return number;
}

void MakeClusters(Coupling* coupling, std::vector<int>* cluster_of_channel) {
  std::map<Signature, int> known;
  cluster_of_channel->resize(coupling->channels.size());
  for (size_t c = 0; c < coupling->channels.size(); ++c) {
    const auto [it, fresh] =
        known.emplace(SignatureOf(coupling->channels[c]),
                      static_cast<int>(coupling->clusters.size()));
    if (fresh) coupling->clusters.emplace_back();
    coupling->clusters[it->second].channels.push_back(static_cast<int>(c));
    (*cluster_of_channel)[c] = it->second;
  }
}

// Says of each layer where its channels are, or why they stay.
void NameLayers(const ChannelWalk& walk, Units& units,
                const std::vector<int>& number,
                const std::vector<int>& cluster_of_channel,
                Coupling* coupling) {
  for (const auto& [name, made] : walk.layers()) {
    int cluster = -1;
    std::string reason;
    for (int unit : made) {
      const int channel = number[units.Find(unit)];
      if (channel >= 0) {
        cluster = cluster_of_channel[channel];
        break;
      }
      if (reason.empty()) reason = units.FrozenReason(unit);
    }
    if (cluster < 0) {
      coupling->frozen[name] = reason;
      continue;
    }
    coupling->cluster_of_layer[name] = cluster;
    if (coupling->clusters[cluster].name.empty()) {
      coupling->clusters[cluster].name = name;
    }
  }
}

}  // namespace

Coupling FindCoupling(const Graph& graph, const std::set<std::string>& keep) {
  Units units;
  ChannelWalk walk(graph, &units);
  for (NodeId id : graph.order()) walk.Visit(graph.node(id));
  walk.FreezeOutputs();
  for (const auto& [name, made] : walk.layers()) {
    if (keep.count(name) == 0) continue;
    for (int unit : made) units.Freeze(unit, "the recipe's overrides keep it");
  }
  Coupling coupling;
  const std::vector<int> number = NumberChannels(units, &coupling);
  std::vector<int> cluster_of_channel;
  MakeClusters(&coupling, &cluster_of_channel);
  NameLayers(walk, units, number, cluster_of_channel, &coupling);
  for (const graph::InnerLayer& layer : graph::InnerLayers(graph)) {
    coupling.frozen[layer.name] = layer.reason;
  }
  for (const auto& count : walk.counts()) {
    Coupling::Count numbered = count;
    for (auto& list : numbered.channels) {
      for (int& unit : list) unit = unit < 0 ? -1 : number[units.Find(unit)];
    }
    coupling.counts.push_back(std::move(numbered));
  }
  return coupling;
}

}  // namespace condense::pruning
