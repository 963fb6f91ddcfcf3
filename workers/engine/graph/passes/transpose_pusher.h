#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_TRANSPOSE_PUSHER_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_TRANSPOSE_PUSHER_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "workers/engine/graph/graph.h"

namespace condense::graph {

// Output axis i of a Transpose is axis perm[i] of its input.
using Permutation = std::vector<int64_t>;

Permutation Inverse(const Permutation& perm);
// [0, 2, ..., 1]: channels go from the second axis to the last.
bool IsToChannelsLast(const Permutation& perm);
// A constant under another order of its axes; missing leading axes count as 1.
Tensor Transposed(const Tensor& tensor, const Permutation& perm);

// Moves one Transpose (perm, x -> y) below one reader of y.
class TransposePusher {
 public:
  // `graph` must outlive the pusher.
  explicit TransposePusher(Graph* graph) : graph_(*graph) {}

  // True if the reader reads the transposed value no longer.
  bool Push(NodeId transpose, NodeId reader);

 private:
  // What stands before a Transpose with the same order, a constant in the order
  // before, or a value of one element; nullopt if it is something else.
  std::optional<ValueId> Untransposed(ValueId id);
  bool Elementwise(NodeId id);
  bool Concat(NodeId id);
  bool Pad(NodeId id);
  bool AlongAxis(NodeId id);
  bool Slice(NodeId id);
  bool Reduce(NodeId id);
  bool Squeeze(NodeId id);
  bool FlattenIntoLayer(NodeId id);

  // Readers of the node's outputs read them through Transposes.
  void TransposeOutputs(NodeId id, const Permutation& perm);
  // Constant integers at an input, or nullopt.
  std::optional<std::vector<int64_t>> IntsAt(const Node& node,
                                             size_t input) const;
  std::vector<int64_t> Mapped(const std::vector<int64_t>& axes) const;
  ValueId NewInts(NodeId id, const std::vector<int64_t>& values);
  void SetAxes(NodeId id, const std::vector<int64_t>& axes);

  Graph& graph_;
  Permutation perm_;
  ValueId x_ = kNoValue;
  ValueId y_ = kNoValue;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_TRANSPOSE_PUSHER_H_
