#include "workers/engine/quantization/channel_statistics.h"

#include "common/status_macros.h"
#include "workers/engine/quantization/calibrate.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {
namespace {

std::vector<float> FloatsOf(const torch::Tensor& tensor) {
  const torch::Tensor flat = tensor.to(torch::kCPU).contiguous();
  return {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()};
}

// Sums before they are divided by the number of elements.
void Add(const torch::Tensor& value, int64_t axis, ChannelStatistics* seen) {
  std::vector<int64_t> others;
  for (int64_t i = 0; i < value.dim(); ++i) {
    if (i != axis) others.push_back(i);
  }
  const std::vector<float> low = FloatsOf(value.amin(others));
  const std::vector<float> high = FloatsOf(value.amax(others));
  const std::vector<float> square = FloatsOf(value.square().sum(others));
  if (seen->low.empty()) {
    seen->low = low;
    seen->high = high;
    seen->mean_square.assign(low.size(), 0);
  }
  for (size_t c = 0; c < low.size(); ++c) {
    seen->low[c] = std::min(seen->low[c], low[c]);
    seen->high[c] = std::max(seen->high[c], high[c]);
    seen->mean_square[c] += square[c];
  }
}

}  // namespace

absl::StatusOr<std::map<graph::ValueId, ChannelStatistics>> ObserveChannels(
    const graph::Graph& graph, const std::vector<graph::ValueId>& values,
    data::Loader* loader, int64_t samples, const std::string& device,
    ChannelSide axis) {
  CONDENSE_ASSIGN_OR_RETURN(
      auto executor, runtime::Executor::Create(graph, {.device = device}));
  std::map<graph::ValueId, ChannelStatistics> seen;
  std::map<graph::ValueId, double> counts;
  executor->Observe(values, [&](graph::ValueId id, const torch::Tensor& value) {
    if (value.dim() < 2 || value.numel() == 0) return;
    const int64_t its = axis == ChannelSide::kSecond ? 1 : value.dim() - 1;
    Add(value, its, &seen[id]);
    counts[id] += static_cast<double>(value.numel() / value.size(its));
  });
  CONDENSE_RETURN_IF_ERROR(RunOver(loader, samples, executor.get(), nullptr));
  for (auto& [id, its] : seen) {
    for (double& square : its.mean_square) square /= counts[id];
  }
  return seen;
}

}  // namespace condense::quantization
