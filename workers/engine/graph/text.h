#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_TEXT_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "workers/engine/graph/graph.h"

namespace condense::graph {

enum class TextForm {
  // Everything: Parse (parse.h) makes the same graph of it.
  kComplete,
  // For people: constants of more than 16 elements by the start of their
  // digest. Parse refuses it where one was left out.
  kElided,
};

// The text form of a graph:
//   graph model opset 17 {
//     doc "what the model is"
//     metadata author = "somebody"
//     input x: float32 [N, 3, 32, 32]
//     const w: float32 [16, 3, 3, 3] = base64 "AACAPwAA..."
//     const sizes: int64 [2] = {0, -1}
//     y: float32 [N, 16, 32, 32] = Conv(x, w, _) {pads=[1, 1, 1, 1]} @ conv1
//     z: float32 [N, ?] = Reshape(y, sizes)
//     output z
//   }
// A constant stands before the first node that reads it. "_" is an omitted
// input or output; ": type shape" is left out where neither is known, "@ name"
// where the node is called like its first output. Other domains are written
// "condense::FakeQuantize". Values are written out for up to 16 numbers and for
// strings, otherwise as base64 of Tensor::bytes(). Attributes:
//   3   0.5   "text"   [1, 2]   [0.5, 1.0]   ["a"]   float32 [2] = {1.0, 2.0}
//   graph body opset 17 { ... }   and, for empty lists,   []  floats[]
//   strings[]
// (a number with ".", "e", "inf" or "nan" is a float). Names with other
// characters than letters, digits and _ . / : - $ %, and those that are words
// of the form itself, stand in quotes with C escapes. "#" starts a comment.
// Values that no node, input or output refers to are not written.
std::string ToText(const Graph& graph, TextForm form = TextForm::kComplete);

// One attribute as ToText writes it, in its complete form.
std::string AttributeText(const Attribute& attribute);

// Whether the character may stand in a name without quotes.
bool IsNameCharacter(char c);

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_TEXT_H_
