#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_CHANNEL_AFFINE_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_CHANNEL_AFFINE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "workers/engine/graph/graph.h"

namespace condense::graph {

// y = x * factor + shift, one of each per channel.
struct ChannelAffine {
  std::vector<float> factor;
  std::vector<float> shift;

  bool ScalesNothing() const;
  bool ShiftsNothing() const;
};

// Where the channels of a value stand.
struct ChannelAxis {
  int64_t count = 0;
  int64_t axis = 1;
  int64_t rank = 4;
};

// What the node does to its input `x`: a BatchNormalization with constant
// statistics, or Add, Sub, Mul or Div with a float32 constant of one element,
// or of one per channel. nullopt for everything else.
std::optional<ChannelAffine> AffineOf(const Graph& graph, const Node& node,
                                      ValueId x, const ChannelAxis& channels);

// The channels behind a node that only moves elements (Transpose, Reshape,
// Flatten, Squeeze, Unsqueeze, Identity, Dropout) if all of a channel stays
// together; nullopt if not, or where shapes are not known.
std::optional<ChannelAxis> ChannelsBehind(const Graph& graph, const Node& node,
                                          const ChannelAxis& before);

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_CHANNEL_AFFINE_H_
