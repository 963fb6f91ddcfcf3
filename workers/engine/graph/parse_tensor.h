#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PARSE_TENSOR_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PARSE_TENSOR_H_

#include <optional>

#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/graph/text_lexer.h"

namespace condense::graph {

// Parts of the text form (text.h), from the lexer's token on; BAD_TEXT where
// they are something else.

// "float32"; also "undefined".
absl::StatusOr<DType> ParseDType(TextLexer& lexer);
// "[N, 3, ?]"; "?": nullopt.
absl::StatusOr<std::optional<Shape>> ParseShape(TextLexer& lexer);
// "float32 [2] = {1.0, 2.0}"
absl::StatusOr<Tensor> ParseTensor(TextLexer& lexer);

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PARSE_TENSOR_H_
