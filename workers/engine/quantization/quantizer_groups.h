#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_QUANTIZER_GROUPS_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_QUANTIZER_GROUPS_H_

#include <string>
#include <vector>

#include "workers/engine/graph/graph.h"

namespace condense::quantization {

// Training through more and more quantizers: each has the group, from 0, with
// which it begins to work, as its attribute "group".

// Divides the layers of a graph with placed quantizers, given in the order of
// their turn, into `count` groups of about as many layers. What quantizes the
// input of layers begins with the first of them; other quantizers of
// activations with the last group. Fewer layers than groups leave some empty.
void AssignGroups(const std::vector<std::string>& order, int count,
                  graph::Graph* graph);

// The graph with the quantizers of the groups up to `last` alone; ids and names
// of constants are those of `graph`.
graph::Graph UpToGroup(const graph::Graph& graph, int last);

// After training: quantizers of weights up to group `last` keep the scales that
// were learnt when a graph is made to train once more (TrainingGraph).
void MarkTrained(int last, graph::Graph* graph);

// When all have trained: quantizers are as placed, without groups and marks.
void RemoveGroups(graph::Graph* graph);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_QUANTIZER_GROUPS_H_
