#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_WEIGHT_QUANTIZER_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_WEIGHT_QUANTIZER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "workers/engine/graph/graph.h"
#include "workers/engine/quantization/quantizer.h"

namespace condense::quantization {

// How one weight is quantized.
struct WeightGrid {
  // Of output channels, each with its scale; with blocks the one that they lie
  // along; -1: one scale.
  int64_t axis = -1;
  Levels levels = {-127, 127};
  // How the weights find their levels and the scale: "max_abs", another
  // runtime::Projection by name, or "affine", with zero points.
  std::string scheme = "max_abs";
  // Stored two to a byte where the levels fit 4 bits.
  bool packed = false;
  // Above 0: inputs of an output channel that share a scale.
  int64_t block_size = 0;
  // The weight counts as [dims[0], the rest], so that the blocks of a
  // convolution run over all that an output channel reads.
  bool rows = false;
};

// The levels of a scheme with that many bits: what its integers reach.
Levels SchemeLevels(const std::string& scheme, int bits);

// A Conv, Gemm or MatMul with a constant second input.
bool HasWeight(const graph::Graph& graph, const graph::Node& node);
// The axis of output channels in the weight; -1 for a vector, which has none.
int64_t ChannelAxis(const graph::Node& node, const graph::Tensor& weight);
// Sets axis, block_size and rows of a grid with blocks. A vector has none.
void SetBlocks(const graph::Node& node, const graph::Tensor& weight,
               int64_t block_size, WeightGrid* grid);

// Puts a FakeQuantize on the weight of a node with HasWeight, its scales as the
// scheme finds them. The weight itself stays what it is: until it was projected
// (ProjectWeights) it is not what a scheme other than max_abs makes of it.
void QuantizeWeight(graph::Graph* graph, graph::NodeId layer,
                    const WeightGrid& grid);
// Every layer with a quantizer on its weight, and that.
std::map<graph::NodeId, graph::NodeId> WeightQuantizers(
    const graph::Graph& graph);
// What QuantizeWeight was given, from the node it made.
WeightGrid WeightGridOf(const graph::Node& quantizer);

// Moves every weight of a scheme other than max_abs and affine to its levels,
// and sets its scale. Its quantizer is from then on like any other: integers
// times a scale. After training, or instead of it.
void ProjectWeights(graph::Graph* graph);

// The scale that just holds the weight: max abs / qmax per channel, or per
// tensor.
std::vector<float> WeightScales(const graph::Tensor& weight, int64_t axis,
                                int64_t qmax);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_WEIGHT_QUANTIZER_H_
