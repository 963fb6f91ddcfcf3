#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_VERIFY_NODE_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_VERIFY_NODE_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "workers/engine/graph/graph.h"

namespace condense::graph {

// The part of Verify (verify.h) about one node by itself: its operator is
// known, with the inputs, outputs and attributes that it needs; bodies take and
// give as many values as the node; a FakeQuantize has a grid.
absl::Status VerifyNode(const Graph& graph, const Node& node);

// The subgraphs of If, Loop and Scan by their attribute.
std::map<std::string, std::shared_ptr<const Graph>> BodiesOf(const Node& node);

// INVALID_ARGUMENT with reason BAD_GRAPH.
absl::Status BadGraph(const std::string& message, const std::string& node = "");

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_VERIFY_NODE_H_
