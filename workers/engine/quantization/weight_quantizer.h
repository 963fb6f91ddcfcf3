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
  // runtime::Projection by name, "affine", with zero points, or a scheme with a
  // table (weight_tables.h).
  std::string scheme = "max_abs";
  // Stored two to a byte where the levels fit 4 bits; as codes of 4 bits where
  // there are `code_bits`.
  bool packed = false;
  // Above 0: inputs of an output channel that share a scale.
  int64_t block_size = 0;
  // The weight counts as [dims[0], the rest], so that the blocks of a
  // convolution run over all that an output channel reads.
  bool rows = false;
  // Levels are 2^code_bits of the integers; 0: all of them.
  int code_bits = 0;
};

// The levels of a scheme with that many bits: what its integers reach. Those of
// a table are -63 to 63: fine enough that 16 levels lose nothing by it, and
// every int8 kernel takes them, also one that adds two products in 16 bits.
Levels SchemeLevels(const std::string& scheme, int bits);

// A Conv, Gemm or MatMul with a constant second input.
bool HasWeight(const graph::Graph& graph, const graph::Node& node);
// The axis of output channels in the weight; -1 for a vector, which has none.
int64_t ChannelAxis(const graph::Node& node, const graph::Tensor& weight);
// Sets axis, block_size and rows of a grid with blocks. A vector has none.
void SetBlocks(const graph::Node& node, const graph::Tensor& weight,
               int64_t block_size, WeightGrid* grid);

// Puts a FakeQuantize on the weight of a node with HasWeight, its scales as the
// scheme finds them; its fourth input is the table, where the scheme has one.
// The weight itself stays what it is: until it was projected (ProjectWeights)
// it is not what a scheme other than max_abs makes of it.
void QuantizeWeight(graph::Graph* graph, graph::NodeId layer,
                    const WeightGrid& grid);
// Every layer with a quantizer on its weight, and that.
std::map<graph::NodeId, graph::NodeId> WeightQuantizers(
    const graph::Graph& graph);
// What QuantizeWeight was given, from the node it made.
WeightGrid WeightGridOf(const graph::Node& quantizer);

// The nearest weight on the grid, whose scales come from the weight.
graph::Tensor ProjectedWeight(const graph::Tensor& weight,
                              const WeightGrid& grid);

// Moves every weight of a scheme other than max_abs and affine to its levels,
// and sets its scale. Its quantizer is from then on like any other: integers
// times a scale. After training, or instead of it.
void ProjectWeights(graph::Graph* graph);
// The same for the weight of one quantizer.
void ProjectWeight(graph::Graph* graph, graph::NodeId quantizer);
// Gives the weight of a quantizer values and scales that were found otherwise,
// and makes it like any other.
void SetProjected(graph::Graph* graph, graph::NodeId quantizer,
                  const graph::Tensor& weight,
                  const std::vector<float>& scales);

// The scale that just holds the weight: max abs / qmax per channel, or per
// tensor.
std::vector<float> WeightScales(const graph::Tensor& weight, int64_t axis,
                                int64_t qmax);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_WEIGHT_QUANTIZER_H_
