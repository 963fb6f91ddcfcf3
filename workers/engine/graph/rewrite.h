#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_REWRITE_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_REWRITE_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "workers/engine/graph/graph.h"

namespace condense::graph {

// Replaces one node by others: new nodes go right before it, then the one that
// makes the result takes over its first output, both names included. So a node
// that is lowered and fused again is called as before.
class Rewriter {
 public:
  // `graph` must outlive the rewriter.
  Rewriter(Graph* graph, NodeId node) : graph_(*graph), node_(node) {}

  // The output of a new node, with its shape inferred where that is possible.
  ValueId Op(absl::string_view op, std::vector<ValueId> inputs,
             std::map<std::string, Attribute> attrs = {});
  ValueId Ints(const std::vector<int64_t>& values);
  ValueId Float(float value);
  // Everything that read the node's first output reads `result`; the node goes.
  void Replace(ValueId result);

 private:
  Graph& graph_;
  const NodeId node_;
  std::set<NodeId> made_;
};

// --- What passes that look for patterns ask --------------------------------

// The node that makes the value if it is this operator of the default domain,
// else nullptr.
const Node* MadeBy(const Graph& graph, ValueId id, absl::string_view op);
// The one node that reads the value, kNoNode if there are several or none, or
// if it is an output of the graph.
NodeId OnlyConsumer(const Graph& graph, ValueId id);
// The elements of a constant of integers or booleans; nullopt for any other.
std::optional<std::vector<int64_t>> IntegersOf(const Graph& graph, ValueId id);
// The number of a constant with one floating element.
std::optional<float> NumberOf(const Graph& graph, ValueId id);
// Whether it is `number`, as exactly as float16 holds it.
bool IsNumber(const Graph& graph, ValueId id, float number);
// Splits the inputs of a commutative node: the one that is the number, and the
// other. kNoValue if neither is.
ValueId OtherThanNumber(const Graph& graph, const Node& node, float number);

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_REWRITE_H_
