#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_PLACEMENT_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_PLACEMENT_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/quantization/weight_quantizer.h"

namespace condense::quantization {

// What a runtime's integer kernels take (from its device profile) and what the
// recipe asks for.
struct Numerics {
  int weight_bits = 8;
  // See WeightGrid; or "float": activations alone are quantized.
  std::string weight_scheme = "max_abs";
  bool per_channel = true;
  // Above 0: inputs of a channel that share a scale.
  int64_t block_size = 0;
  // Weights of at most 4 bits are stored two to a byte.
  bool packed = false;
  // Layers with weights of so many bits are computed in float: activations of
  // 8 bits and less are not quantized for them.
  std::set<int> float_bits;
  // Weights alone are quantized.
  bool float_activations = false;
  int activation_bits = 8;
  // Scales of activations are powers of two.
  bool activation_power_of_two = false;
  bool activation_unsigned = true;
  bool activation_symmetric = false;
  // Operators that run on integers.
  std::set<std::string> quantized_ops;
  // Chains that run as one kernel, e.g. {"Conv", "Relu"}.
  std::vector<std::vector<std::string>> fusions;
  // By node name: stays in float; or other weight bits.
  std::set<std::string> skip;
  std::map<std::string, int> bits;
};

// A graph with FakeQuantize nodes: one on each weight, one on each value that
// enters or leaves an integer kernel; outputs of the model have at least 8
// bits. Nothing stands inside a fusion; operators that only move or select
// elements (MaxPool, Reshape, ...) give the scale of their input to their
// output, and what Concat puts together has one scale, by the same constants.
struct Placement {
  graph::Graph graph;
  // By node name, for nodes with weights that stay in float: why.
  std::map<std::string, std::string> frozen;
};

// `graph` has its batch normalisation folded, or it is there to train with the
// quantizers around it and to be folded by FoldLiveBatchNorm. Scales of
// activations are 1 until Calibrate; those of weights are set.
absl::StatusOr<Placement> PlaceQuantizers(const graph::Graph& graph,
                                          const Numerics& numerics);

// Activation quantizers of a calibrated graph get PowerOfTwoGrid's of theirs.
void RoundScalesToPowersOfTwo(graph::Graph* graph);

// Elements move or are selected; no new values appear.
bool KeepsValues(const graph::Node& node);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_PLACEMENT_H_
