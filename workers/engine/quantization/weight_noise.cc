#include "workers/engine/quantization/weight_noise.h"

#include <cmath>

#include "workers/engine/quantization/stored_levels.h"
#include "workers/engine/quantization/weight_quantizer.h"

namespace condense::quantization {

std::map<std::string, double> WeightNoiseDb(const graph::Graph& floats,
                                            const graph::Graph& quantized) {
  std::map<std::string, double> noise;
  for (const auto& [layer, id] : WeightQuantizers(quantized)) {
    const graph::Node& quantizer = quantized.node(id);
    const graph::ValueId weight = quantizer.inputs[0];
    const graph::Tensor* rounded = quantized.ConstantOf(weight);
    const graph::ValueId original =
        floats.FindValue(quantized.value(weight).name);
    if (original == graph::kNoValue) continue;
    const graph::Tensor* values = floats.ConstantOf(original);
    const auto stored = StoredQuantizerOf(quantized, quantizer);
    if (values == nullptr || rounded == nullptr || !stored.ok() ||
        values->dims() != rounded->dims()) {
      continue;
    }
    const double db = SignalToNoiseDb(*values, *rounded, *stored);
    if (std::isfinite(db)) noise[quantized.node(layer).name] = db;
  }
  return noise;
}

}  // namespace condense::quantization
