#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_SMOOTH_QUANT_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_SMOOTH_QUANT_H_

#include <map>
#include <vector>

#include "workers/engine/graph/graph.h"
#include "workers/engine/quantization/channel_statistics.h"

namespace condense::quantization {

// An activation [..., C] that only linear layers read (MatMul or Gemm with a
// constant weight; who reads its shape does not count) and that takes a factor
// per channel from the node that makes it: a normalisation, or another linear
// layer, with Relu, Transpose and Add of a constant between.
struct SmoothSite {
  graph::ValueId input = graph::kNoValue;
  std::vector<graph::NodeId> readers;
  // LayerNormalization, BatchNormalization, MatMul or Gemm.
  graph::NodeId maker = graph::kNoNode;
  // Constants [C] that an Add puts between.
  std::vector<graph::ValueId> shifts;
};
std::vector<SmoothSite> FindSmoothSites(const graph::Graph& graph);

// Some channel reaches eight times as far as the median one: what smoothing is
// for. Where none does, it makes weights harder to quantize for nothing.
bool HasOutliers(const ChannelStatistics& seen);

// SmoothQuant, Xiao et al., arXiv:2211.10438: channel j of an activation is
// divided by s_j = max|X_j|^strength / max|W_j|^(1 - strength), its readers'
// weights are multiplied. The float function stays. `seen` has each site's
// input along its last axis. strength in (0, 1]. Returns how many sites were
// changed.
int SmoothActivations(const std::vector<SmoothSite>& sites,
                      const std::map<graph::ValueId, ChannelStatistics>& seen,
                      double strength, graph::Graph* graph);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_SMOOTH_QUANT_H_
