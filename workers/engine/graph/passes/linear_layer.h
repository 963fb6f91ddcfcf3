#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_LINEAR_LAYER_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_LINEAR_LAYER_H_

#include <cstdint>
#include <optional>

#include "workers/engine/graph/graph.h"
#include "workers/engine/graph/passes/channel_affine.h"

namespace condense::graph {

// A Conv, ConvTranspose, Gemm (alpha and beta 1) or MatMul with a float32
// weight of its own, and where the bias of it stands: input 2, or for a MatMul
// the constant of the Add that alone reads it.
struct LinearLayer {
  NodeId node = kNoNode;
  // Axes of the weight that count output and input channels, the group apart.
  int64_t out_axis = 0;
  int64_t in_axis = 1;
  int64_t group = 1;
  int64_t outputs = 0;
  int64_t inputs = 0;
  // The Add behind a MatMul, or kNoNode.
  NodeId add = kNoNode;
  // The channels of what it makes.
  ChannelAxis channels;
};

// nullopt if the node is no such layer, its weight has other readers, or its
// bias is computed or not one per channel.
std::optional<LinearLayer> LinearLayerAt(const Graph& graph, NodeId id);

// What the layer makes, its bias included.
ValueId OutputOf(const Graph& graph, const LinearLayer& layer);

// The layer computes affine(layer(x)) from now on.
void ApplyAfter(Graph& graph, const LinearLayer& layer,
                const ChannelAffine& affine);

// Whether layer(affine(x)) is a layer again: no zeros are padded between that
// the shift would miss.
bool TakesBefore(const LinearLayer& layer, const Node& node,
                 const ChannelAffine& affine);

// The layer computes layer(affine(x)) from now on. `affine` has one entry per
// input channel.
void ApplyBefore(Graph& graph, const LinearLayer& layer,
                 const ChannelAffine& affine);

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_LINEAR_LAYER_H_
