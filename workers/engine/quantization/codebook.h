#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_CODEBOOK_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_CODEBOOK_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"

namespace condense::quantization {

// A weight as codes into a table of values (weight sharing of Han et al.,
// arXiv:1510.00149; product quantization of Gong et al., arXiv:1412.6115; the
// per-channel levels of LQ-Nets, arXiv:1807.10029).
struct Codebook {
  enum class Layout {
    // table [K]: one code per element.
    kScalar,
    // table [K, D]: one code per D elements that follow each other in memory.
    kVector,
    // table [C, K]: one code per element, from the row of its output channel
    // (the first dimension).
    kPerChannel,
    // table [K, C]: the same where the last dimension has the channels.
    kPerLastChannel,
  };
  Layout layout = Layout::kScalar;
  // float32, or int8 for levels that a DequantizeLinear reads.
  graph::Tensor table;
  // In the weight's row-major order, 0 to K - 1.
  std::vector<int64_t> codes;
};

// The codebook of a weight of int8 levels: its distinct ones, of each channel
// along `axis` (the first or the last) or (-1) of all, in ascending order. A
// row with fewer than others ends in its last one again. nullopt where one has
// more than 16, or the channels lie between other dimensions.
std::optional<Codebook> CodebookOfLevels(const graph::Tensor& levels,
                                         int64_t axis);

// The weight that the codes stand for. INVALID_ARGUMENT with reason
// BAD_CODEBOOK if codes, table and dims do not fit.
absl::StatusOr<graph::Tensor> DecodeCodebook(const Codebook& codebook,
                                             std::vector<int64_t> dims);

// Replaces a constant by its codebook, in operators that every runtime has:
// codes [-> DequantizeLinear] -> Cast -> Gather (GatherElements per channel)
// from the table [-> Reshape]. Codes are stored as uint4 where K <= 16 and
// `opset` has it (21), else as uint8 or uint16. The values are those of
// DecodeCodebook, bit by bit.
absl::Status StoreAsCodebook(graph::Graph* graph, graph::ValueId weight,
                             const Codebook& codebook, int opset);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_CODEBOOK_H_
