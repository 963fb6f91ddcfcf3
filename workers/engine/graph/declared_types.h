#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_DECLARED_TYPES_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_DECLARED_TYPES_H_

#include <string>

#include "workers/engine/graph/graph.h"

namespace condense::graph {

// The floating types of a file's inputs and outputs, where the graph has
// float32 instead (WidenFloats): notes in the graph's metadata, by the names of
// the values. Files written from the graph have the declared types again.
void DeclareType(Graph& graph, const std::string& name, DType dtype);
// As declared, or the value's own type.
DType DeclaredType(const Graph& graph, ValueId id);
// Drops the notes.
void ForgetDeclaredTypes(Graph& graph);

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_DECLARED_TYPES_H_
