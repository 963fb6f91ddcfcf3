#include "workers/engine/pruning/cut.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "common/status_macros.h"
#include "workers/engine/graph/infer_shapes.h"

namespace condense::pruning {
namespace {

using graph::Graph;
using graph::Node;
using graph::Tensor;
using graph::ValueId;

// Indices to take away, by constant and axis.
using Removals = std::map<std::pair<ValueId, int64_t>, std::set<int64_t>>;

Removals RemovalsOf(const Coupling& coupling, const std::vector<bool>& removed,
                    bool readers_only) {
  Removals removals;
  for (size_t c = 0; c < removed.size(); ++c) {
    if (!removed[c]) continue;
    for (const Slice& slice : coupling.channels[c].slices) {
      if (readers_only && !slice.reads) continue;
      removals[{slice.constant, slice.axis}].insert(slice.index);
    }
  }
  return removals;
}

// A tensor as [outer, axis, inner] bytes.
struct Layout {
  int64_t outer = 1;
  int64_t size = 1;
  size_t inner_bytes = 1;
};
Layout LayoutOf(const Tensor& tensor, int64_t axis) {
  Layout layout;
  for (int64_t i = 0; i < axis; ++i) layout.outer *= tensor.dims()[i];
  layout.size = tensor.dims()[axis];
  const size_t rows = static_cast<size_t>(layout.outer * layout.size);
  layout.inner_bytes = rows == 0 ? 0 : tensor.bytes().size() / rows;
  return layout;
}

Tensor Without(const Tensor& tensor, int64_t axis,
               const std::set<int64_t>& gone) {
  const Layout layout = LayoutOf(tensor, axis);
  std::string bytes;
  bytes.reserve(tensor.bytes().size());
  for (int64_t o = 0; o < layout.outer; ++o) {
    for (int64_t i = 0; i < layout.size; ++i) {
      if (gone.count(i) > 0) continue;
      bytes.append(tensor.bytes(), (o * layout.size + i) * layout.inner_bytes,
                   layout.inner_bytes);
    }
  }
  std::vector<int64_t> dims = tensor.dims();
  dims[axis] -= static_cast<int64_t>(gone.size());
  return Tensor(tensor.dtype(), std::move(dims), std::move(bytes));
}

Tensor Zeroed(const Tensor& tensor, int64_t axis,
              const std::set<int64_t>& indices) {
  const Layout layout = LayoutOf(tensor, axis);
  std::string bytes = tensor.bytes();
  for (int64_t o = 0; o < layout.outer; ++o) {
    for (int64_t i : indices) {
      std::fill_n(bytes.begin() + (o * layout.size + i) * layout.inner_bytes,
                  layout.inner_bytes, '\0');
    }
  }
  return Tensor(tensor.dtype(), tensor.dims(), std::move(bytes));
}

int64_t Remaining(const std::vector<int>& channels,
                  const std::vector<bool>& removed) {
  return std::count_if(channels.begin(), channels.end(), [&](int c) {
    return c < 0 || !removed[static_cast<size_t>(c)];
  });
}

// Constants of numbers may be shared, so the node gets one of its own.
void SetNumbers(Graph* graph, graph::NodeId id, size_t input,
                const std::vector<int64_t>& numbers) {
  const std::string name = graph->value(graph->node(id).inputs[input]).name;
  const auto size = static_cast<int64_t>(numbers.size());
  const ValueId fresh =
      graph->AddConstant(name, Tensor::Of<int64_t>({size}, numbers));
  graph->mutable_node(id).inputs[input] = fresh;
}

void Recount(const Coupling::Count& count, const std::vector<bool>& removed,
             Graph* graph) {
  const Node& node = graph->node(count.node);
  if (node.Is("Conv")) {
    graph->mutable_node(count.node).attrs["group"] =
        Remaining(count.channels[0], removed);
    return;
  }
  std::vector<int64_t> numbers = graph->ConstantOf(node.inputs[1])->ToInts();
  if (node.Is("Pad")) {
    const size_t rank = numbers.size() / 2;
    numbers[count.axis] = Remaining(count.channels[0], removed);
    numbers[rank + count.axis] = Remaining(count.channels[1], removed);
  } else if (numbers[count.axis] > 0) {
    numbers[count.axis] = Remaining(count.channels[0], removed);
  } else {
    return;
  }
  SetNumbers(graph, count.node, 1, numbers);
}

}  // namespace

void MaskChannels(const Coupling& coupling, const std::vector<bool>& removed,
                  Graph* graph) {
  for (const auto& [key, indices] : RemovalsOf(coupling, removed, true)) {
    graph->SetConstant(
        key.first, Zeroed(*graph->ConstantOf(key.first), key.second, indices));
  }
}

absl::Status CutChannels(const Coupling& coupling,
                         const std::vector<bool>& removed, Graph* graph) {
  for (const auto& [key, gone] : RemovalsOf(coupling, removed, false)) {
    graph->SetConstant(
        key.first, Without(*graph->ConstantOf(key.first), key.second, gone));
  }
  for (const Coupling::Count& count : coupling.counts) {
    Recount(count, removed, graph);
  }
  graph->RemoveDeadValues();
  // Shapes of before would be taken for facts.
  for (ValueId id : graph->values()) {
    if (graph->value(id).producer != graph::kNoNode) {
      graph->mutable_value(id).shape.reset();
    }
  }
  return graph::InferShapes(*graph);
}

}  // namespace condense::pruning
