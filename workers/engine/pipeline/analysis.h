#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_ANALYSIS_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_ANALYSIS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "condense/v1/device_profile.pb.h"
#include "workers/engine/graph/cost.h"
#include "workers/engine/graph/graph.h"

namespace condense::pipeline {

// A node with weights or multiply-accumulates.
struct LayerAnalysis {
  std::string name;
  std::string op;
  // Of its first output.
  std::string shape;
  graph::Cost cost;
  // By the profile's roofline, for one sample, as the model is.
  double seconds = 0;
  // Its place in the model's order.
  int order = 0;
  // Output channels that may go; the layer that names their group, which is
  // another one where channels are coupled. 0: none, see prune_frozen.
  int64_t prunable_channels = 0;
  std::string prune_group;
  // Why no channel may go; empty also for layers that make no channels.
  std::string prune_frozen;
  // Its weight is stored in integers: in the file to be or, where
  // Analysis::quantized is set, in this one.
  bool quantizable = false;
  // Why the layer stays in float; empty if it has no weight to quantize.
  std::string quantize_frozen;
};

// All nodes of one operator.
struct OperatorAnalysis {
  std::string op;
  int count = 0;
  graph::Cost cost;
  double seconds = 0;
};

// What is in a model, and what can be done about it on one device profile.
struct Analysis {
  std::string name;
  int64_t size_bytes = 0;
  std::string profile;
  graph::Cost cost;
  // The most bytes that one node's outputs take.
  int64_t largest_activation_bytes = 0;
  double seconds = 0;
  // In the model's order; layers in bodies of control flow behind all others.
  std::vector<LayerAnalysis> layers;
  // Sorted by name.
  std::vector<OperatorAnalysis> operators;
  int64_t prunable_channels = 0;
  int64_t prunable_groups = 0;
  // The file holds quantizers already; then nothing is predicted.
  bool quantized = false;
  // With quantizers where the profile's integer kernels are.
  std::optional<double> seconds_quantized;
  // Of the exported files with weights of 8 and of 4 bits.
  std::optional<int64_t> size_8bit;
  std::optional<int64_t> size_4bit;
};

// `graph` needs shapes. Errors: those of the quantizer's placement and of
// export.
absl::StatusOr<Analysis> AnalyzeGraph(const graph::Graph& graph,
                                      int64_t size_bytes,
                                      const v1::DeviceProfile& profile);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_ANALYSIS_H_
