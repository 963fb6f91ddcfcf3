#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_LOWER_QDQ_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_LOWER_QDQ_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"

namespace condense::quantization {

// A Conv, Gemm or MatMul whose weight and input are both quantized, the weight
// with one scale for what is summed up and at most 8 bits.
struct QuantizedLayer {
  graph::NodeId node = graph::kNoNode;
  graph::NodeId weight_quantizer = graph::kNoNode;
  // kNoValue: none, or one that is broadcast and stays in float. int32 in the
  // file, at bias_scales = s_x * s_w (one, or one per channel).
  graph::ValueId bias = graph::kNoValue;
  std::vector<float> bias_scales;
};
std::vector<QuantizedLayer> QuantizedLayers(const graph::Graph& graph);

// One row of tensors.json.
struct TensorRow {
  std::string name;
  std::vector<int64_t> shape;
  std::string dtype;
  std::vector<float> scale;
  std::vector<int64_t> zero_point;
  // -1: per tensor.
  int64_t axis = -1;
  // 0: one scale for all of a channel.
  int64_t block_size = 0;
};

struct LoweredGraph {
  graph::Graph graph;
  std::vector<TensorRow> tensors;
};

// FakeQuantize to ONNX QuantizeLinear and DequantizeLinear in the type of its
// attribute dtype (4 bits two to a byte), per tensor, channel or block: weights
// become constant levels behind a DequantizeLinear (and a Reshape, where they
// are stored as rows), biases int32, activations a pair of nodes. No float copy
// of a quantized constant is left. 4 and 16 bits and blocks need opset 21,
// which ExportOnnx says. Weights with an attribute `code_dtype` (uint4) are
// stored as codes into a table of levels (codebook.h) where that is smaller.
// Errors as StoredQuantizerOf has them.
absl::StatusOr<LoweredGraph> LowerToQdq(const graph::Graph& graph);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_LOWER_QDQ_H_
