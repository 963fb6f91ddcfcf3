// Recurrent layers, losses and audio front ends.

#include <algorithm>

#include "common/status_macros.h"
#include "workers/engine/graph/shapes/rules.h"

namespace condense::graph {
namespace {

absl::Status Recurrent(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  if (x->size() != 3) return c.Mismatch("the input must have rank 3");
  const bool batch_first = c.node.Int("layout", 0) != 0;
  const Dim time = (*x)[batch_first ? 1 : 0], batch = (*x)[batch_first ? 0 : 1];
  const Dim directions(
      c.node.String("direction", "forward") == "bidirectional" ? 2 : 1);
  Dim hidden(c.node.Int("hidden_size", -1));
  const MaybeShape r = c.ShapeOf(2);
  if (!hidden.known() && r && r->size() == 3) hidden = (*r)[2];
  const DType dtype = c.DTypeAt(0);
  c.Set(0, dtype,
        batch_first ? Shape{batch, time, directions, hidden}
                    : Shape{time, directions, batch, hidden});
  const Shape state = batch_first ? Shape{batch, directions, hidden}
                                  : Shape{directions, batch, hidden};
  c.Set(1, dtype, state);
  c.Set(2, dtype, state);
  return absl::OkStatus();
}

absl::Status Loss(const Context& c) {
  const MaybeShape target = c.ShapeOf(1);
  const bool none = c.node.String("reduction", "mean") == "none";
  c.Set(0, c.DTypeAt(0), none ? target : MaybeShape(Shape()));
  c.Set(1, c.DTypeAt(0), c.ShapeOf(0));
  return absl::OkStatus();
}

absl::Status WindowOp(const Context& c) {
  const auto size = c.IntsAt(0);
  c.Set(0, DTypeFromName(c.node.String("output_datatype", "float32")),
        Shape{size && size->size() == 1 ? Dim((*size)[0]) : Dim()});
  return absl::OkStatus();
}

absl::Status MelWeightMatrix(const Context& c) {
  c.Set(0, DTypeFromName(c.node.String("output_datatype", "float32")),
        Shape{Dim(), Dim()});
  return absl::OkStatus();
}

// Real and imaginary parts are the last axis.
absl::Status Dft(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  if (!x || x->empty()) return absl::OkStatus();
  Shape out(x->size());
  out.back() = Dim(2);
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status Stft(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  if (x->empty()) return c.Mismatch("a signal has a batch and a length");
  c.Set(0, c.DTypeAt(0), Shape{(*x)[0], Dim(), Dim(), Dim(2)});
  return absl::OkStatus();
}

}  // namespace

void AddSequenceRules(RuleTable* table) {
  for (const char* op : {"LSTM", "GRU", "RNN"}) (*table)[op] = Recurrent;
  for (const char* op : {"BlackmanWindow", "HammingWindow", "HannWindow"}) {
    (*table)[op] = WindowOp;
  }
  (*table)["DFT"] = Dft;
  (*table)["MelWeightMatrix"] = MelWeightMatrix;
  (*table)["NegativeLogLikelihoodLoss"] = Loss;
  (*table)["STFT"] = Stft;
  (*table)["SoftmaxCrossEntropyLoss"] = Loss;
}

}  // namespace condense::graph
