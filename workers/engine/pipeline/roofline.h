#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_ROOFLINE_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_ROOFLINE_H_

#include <vector>

#include "condense/v1/device_profile.pb.h"
#include "workers/engine/graph/graph.h"

namespace condense::pipeline {

// Seconds for one sample on one core of the profile, by node (Williams et al.,
// CACM 2009): the greater of multiply-accumulates over the peak rate and bytes
// over the bandwidth. Layers behind a DequantizeLinear (or FakeQuantize) of a
// weight count as int8, with the bytes that are stored; quantizers, and what
// only gives its input another shape, as nothing. Indexed by NodeId.
std::vector<double> EstimateSecondsPerNode(const graph::Graph& graph,
                                           const v1::Roofline& roofline);

// The sum of all nodes, in milliseconds.
double EstimateLatencyMs(const graph::Graph& graph,
                         const v1::Roofline& roofline);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_ROOFLINE_H_
