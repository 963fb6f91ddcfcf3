#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_WEIGHT_NOISE_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_WEIGHT_NOISE_H_

#include <map>
#include <string>

#include "workers/engine/graph/graph.h"

namespace condense::quantization {

// By the name of each layer of `quantized` with a quantized weight: the
// signal-to-noise ratio in dB (SignalToNoiseDb) of what is stored against the
// weight as it is called in `floats`, whatever rounded it. Layers whose weight
// `floats` lacks, or that lose nothing, are left out.
std::map<std::string, double> WeightNoiseDb(const graph::Graph& floats,
                                            const graph::Graph& quantized);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_WEIGHT_NOISE_H_
