#ifndef CONDENSE_WORKERS_ENGINE_PRUNING_COUPLING_H_
#define CONDENSE_WORKERS_ENGINE_PRUNING_COUPLING_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"

namespace condense::pruning {

// One index along one axis of a constant.
struct Slice {
  graph::ValueId constant = graph::kNoValue;
  int64_t axis = 0;
  int64_t index = 0;
  // True: the weights that read the channel (inputs of the next layer); false:
  // those that make it (filters, biases, shifts).
  bool reads = false;

  friend auto operator<=>(const Slice&, const Slice&) = default;
};

// Channels of one or more values that can only be removed together: a filter,
// its bias and normalisation, what is added to it, and every weight that reads
// it.
struct Channel {
  std::vector<Slice> slices;
};

// Channels that are interchangeable: they touch the same axes of the same
// constants, so one may be kept for another.
struct Cluster {
  // Of the first layer that makes the channels.
  std::string name;
  // Indices into Coupling::channels.
  std::vector<int> channels;
};

// What of a graph can be removed by whole channels. Follows channels from the
// operator that makes them to all that read them: Conv (depthwise and grouped
// too), Gemm, MatMul, BatchNormalization, PRelu, elementwise operators with and
// without broadcasting, pooling, reductions over space, Concat, Flatten,
// Reshape that flattens, Transpose, Squeeze, Unsqueeze, Pad. Channels that
// reach anything else, or an output of the model, are frozen.
struct Coupling {
  std::vector<Channel> channels;
  std::vector<Cluster> clusters;
  // Layers (by node name) none of whose output channels may go, and why.
  std::map<std::string, std::string> frozen;
  // Layers and the cluster of their first output channel that may go.
  std::map<std::string, int> cluster_of_layer;

  // Fixed numbers in the graph that count channels and follow a removal:
  // which channels stand where (-1: one that stays).
  struct Count {
    graph::NodeId node = graph::kNoNode;
    // Pad: two lists, before and after; Reshape: one, the flattened axis; Conv:
    // one channel per group.
    std::vector<std::vector<int>> channels;
    int64_t axis = 0;
  };
  std::vector<Count> counts;
};

// `graph` needs shapes. `keep`: names of nodes whose output channels all stay.
Coupling FindCoupling(const graph::Graph& graph,
                      const std::set<std::string>& keep = {});

}  // namespace condense::pruning

#endif  // CONDENSE_WORKERS_ENGINE_PRUNING_COUPLING_H_
