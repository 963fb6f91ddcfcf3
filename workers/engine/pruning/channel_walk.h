#ifndef CONDENSE_WORKERS_ENGINE_PRUNING_CHANNEL_WALK_H_
#define CONDENSE_WORKERS_ENGINE_PRUNING_CHANNEL_WALK_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "workers/engine/graph/graph.h"
#include "workers/engine/pruning/units.h"

namespace condense::pruning {

// Follows channels through a graph, node by node in execution order, and
// records in `units` which belong together.
class ChannelWalk {
 public:
  // Both must outlive the walk.
  ChannelWalk(const graph::Graph& graph, Units* units);

  void Visit(const graph::Node& node);
  // Channels that reach an output of the model stay.
  void FreezeOutputs();

  // Conv, Gemm and MatMul nodes with the units of their output channels, in
  // execution order.
  const std::vector<std::pair<std::string, std::vector<int>>>& layers() const {
    return layers_;
  }
  // With units where Coupling has channels.
  const std::vector<Coupling::Count>& counts() const { return counts_; }

 private:
  const Track& TrackOf(graph::ValueId id) const;
  void SetTrack(graph::ValueId id, Track track);
  int64_t RankOf(graph::ValueId id) const;
  void FreezeInputs(const graph::Node& node, const std::string& why);
  void FreezeTrack(const Track& track, const std::string& why);
  // Attaches axis `axis` of a constant to the units, one index each.
  void AttachAxis(const std::vector<int>& units, graph::ValueId constant,
                  int64_t axis, bool reads);

  void Conv(const graph::Node& node);
  void GroupedConv(const graph::Node& node, const Track& x, int64_t groups,
                   int64_t outputs);
  void Linear(const graph::Node& node);
  void BatchNormalization(const graph::Node& node);
  void SameChannels(const graph::Node& node);
  void Elementwise(const graph::Node& node);
  // Couples one more operand of a broadcasting operator to `out`.
  bool Couple(graph::ValueId operand, int64_t out_rank, Track* out);
  void Concat(const graph::Node& node);
  void Flatten(const graph::Node& node);
  void Reduce(const graph::Node& node);
  void Transpose(const graph::Node& node);
  void Squeeze(const graph::Node& node);
  void Pad(const graph::Node& node);

  const graph::Graph& graph_;
  Units* const units_;
  // Indexed by ValueId.
  std::vector<Track> tracks_;
  std::vector<std::pair<std::string, std::vector<int>>> layers_;
  std::vector<Coupling::Count> counts_;
};

}  // namespace condense::pruning

#endif  // CONDENSE_WORKERS_ENGINE_PRUNING_CHANNEL_WALK_H_
