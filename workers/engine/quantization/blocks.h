#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_BLOCKS_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_BLOCKS_H_

#include <vector>

#include "workers/engine/graph/graph.h"

namespace condense::quantization {

// A part of a graph between two values that everything passes through: a layer
// of a chain, a whole residual block.
struct Block {
  graph::ValueId input = graph::kNoValue;
  graph::ValueId output = graph::kNoValue;
  // Quantized layers inside, in order of execution.
  std::vector<graph::NodeId> layers;
};

// The smallest blocks with a quantized layer in each, in order; together they
// are the graph from its input to the last such value. `graph` has one input
// and quantizers. Empty where it has several inputs.
std::vector<Block> FindBlocks(const graph::Graph& graph);

// The nodes between `inputs` and `output`, as a graph that takes `inputs` (in
// that order) and gives `output` (in place of each of its outputs); ids stay.
graph::Graph SubGraph(const graph::Graph& graph,
                      const std::vector<graph::ValueId>& inputs,
                      graph::ValueId output);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_BLOCKS_H_
