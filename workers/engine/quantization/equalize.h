#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_EQUALIZE_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_EQUALIZE_H_

#include <map>
#include <set>
#include <vector>

#include "workers/engine/graph/graph.h"
#include "workers/engine/quantization/channel_statistics.h"

namespace condense::quantization {

struct EqualizeOptions {
  // Weights have one scale per output channel; false: per tensor.
  bool per_channel = true;
  int weight_bits = 8;
  int activation_bits = 8;
};

// Moves factors between layers so that integers lose less; the float function
// stays as it is for what `seen` saw. Batch normalisation is folded.
//
// Weights per tensor: cross-layer equalisation of Nagel et al.,
// arXiv:1906.04721: f = sqrt(r_reader / r_maker) per channel class, where r is
// the largest weight, repeated until nothing moves.
//
// Weights per channel: a maker's scales follow any factor, so what is left to
// win is that weak channels of an activation use more of its levels. A channel
// is raised by f >= 1, at most to the range of its tensor. Noise at the readers
// is A / f^2 + B f^2 with A = s_x^2 / 12 * sum w^2 (levels of the activation)
// and B = E[x^2] * sum s_w^2 / 12 (levels of the readers' weights), so
// f = (A / B)^(1/4); depthwise readers have B = 0.
//
// `quantized`: values that will be quantized. `seen` has them and the inputs of
// Clip nodes. Returns the number of classes that were scaled.
int EqualizeLayers(graph::Graph* graph,
                   const std::set<graph::ValueId>& quantized,
                   const std::map<graph::ValueId, ChannelStatistics>& seen,
                   const EqualizeOptions& options);

// Multiplies each of FindChannelClasses' classes, in their order, by its factor
// (a power of two changes no float result): how tests make a model hard to
// quantize.
void ScaleChannelClasses(const std::vector<double>& factors,
                         graph::Graph* graph);

// The values that EqualizeLayers wants seen.
std::vector<graph::ValueId> ValuesToEqualize(
    const graph::Graph& graph, const std::set<graph::ValueId>& quantized);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_EQUALIZE_H_
