#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_CHANNEL_STATISTICS_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_CHANNEL_STATISTICS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/data/loader.h"
#include "workers/engine/graph/graph.h"

namespace condense::quantization {

// Which axis of a value has its channels.
enum class ChannelSide { kSecond, kLast };

// What was seen of each channel of a value.
struct ChannelStatistics {
  std::vector<float> low;
  std::vector<float> high;
  std::vector<double> mean_square;
};

// Runs the float graph over the first `samples` of the loader and watches
// `values` of two or more axes. Memory: three numbers per channel. Errors of
// the loader and the executor.
absl::StatusOr<std::map<graph::ValueId, ChannelStatistics>> ObserveChannels(
    const graph::Graph& graph, const std::vector<graph::ValueId>& values,
    data::Loader* loader, int64_t samples, const std::string& device,
    ChannelSide axis = ChannelSide::kSecond);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_CHANNEL_STATISTICS_H_
