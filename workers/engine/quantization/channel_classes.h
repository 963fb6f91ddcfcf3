#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_CHANNEL_CLASSES_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_CHANNEL_CLASSES_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "workers/engine/graph/graph.h"

namespace condense::quantization {

// Channel `channel` of a value (axis 1).
struct Channel {
  graph::ValueId value = graph::kNoValue;
  int64_t channel = 0;
};

// Channels that a positive factor passes between: where all of a class are
// multiplied by f, the layers that make them scaled by f and the layers that
// read them by 1 / f, the model computes the same. Relu, PRelu, LeakyRelu,
// pooling, Add, zero padding, Slice, Concat and Flatten pass factors on; Clip
// does as long as no value reaches its bounds.
struct ChannelClass {
  std::vector<Channel> members;
  // Layers (Conv, Gemm) that make a channel, as output channel ...
  struct Use {
    graph::NodeId node = graph::kNoNode;
    int64_t channel = 0;
  };
  std::vector<Use> made_by;
  // ... and that read it, as input channel.
  std::vector<Use> read_by;
  // Add nodes with a constant that must be scaled too.
  std::vector<Use> shifted_by;
  // Clip nodes on the way, by the channel that enters.
  struct Bound {
    Channel input;
    double low = 0;
    double high = 0;
  };
  std::vector<Bound> bounds;
};

// The classes of a graph with inferred shapes that may be scaled: those whose
// makers and readers are all known layers with constant weights that no other
// node reads.
std::vector<ChannelClass> FindChannelClasses(const graph::Graph& graph);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_CHANNEL_CLASSES_H_
