#include "workers/engine/pruning/importance.h"

#include <cmath>

#include "workers/engine/data/random.h"

namespace condense::pruning {
namespace {

// Sum of |w| or w^2 over each index of each axis of a constant, made once.
class SliceSums {
 public:
  SliceSums(const graph::Graph& graph, bool squares)
      : graph_(graph), squares_(squares) {}

  double At(const Slice& slice) {
    std::vector<double>& sums = sums_[{slice.constant, slice.axis}];
    if (sums.empty()) sums = Sum(slice.constant, slice.axis);
    return sums[slice.index];
  }

 private:
  std::vector<double> Sum(graph::ValueId id, int64_t axis) const {
    const graph::Tensor& tensor = *graph_.ConstantOf(id);
    const std::vector<float> values = tensor.ToFloats();
    int64_t inner = 1;
    for (int64_t i = axis + 1; i < tensor.rank(); ++i) {
      inner *= tensor.dims()[i];
    }
    const int64_t size = tensor.dims()[axis];
    std::vector<double> sums(size, 0.0);
    for (size_t i = 0; i < values.size(); ++i) {
      const double value = values[i];
      sums[(static_cast<int64_t>(i) / inner) % size] +=
          squares_ ? value * value : std::abs(value);
    }
    return sums;
  }

  const graph::Graph& graph_;
  const bool squares_;
  std::map<std::pair<graph::ValueId, int64_t>, std::vector<double>> sums_;
};

}  // namespace

std::vector<double> ChannelImportance(const graph::Graph& graph,
                                      const Coupling& coupling,
                                      Criterion criterion, uint64_t seed) {
  std::vector<double> scores(coupling.channels.size(), 0.0);
  if (criterion == Criterion::kRandom) {
    data::Random random(seed);
    for (double& score : scores) {
      score = static_cast<double>(random.Next() >> 11) * 0x1.0p-53;
    }
    return scores;
  }
  SliceSums sums(graph, criterion == Criterion::kL2);
  for (size_t c = 0; c < scores.size(); ++c) {
    for (const Slice& slice : coupling.channels[c].slices) {
      if (slice.reads || graph.ConstantOf(slice.constant)->rank() < 2) continue;
      scores[c] += sums.At(slice);
    }
    if (criterion == Criterion::kL2) scores[c] = std::sqrt(scores[c]);
  }
  for (const Cluster& cluster : coupling.clusters) {
    double sum = 0;
    for (int c : cluster.channels) sum += scores[c];
    const double mean = sum / static_cast<double>(cluster.channels.size());
    if (mean <= 0) continue;
    for (int c : cluster.channels) scores[c] /= mean;
  }
  return scores;
}

}  // namespace condense::pruning
