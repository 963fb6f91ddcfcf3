#include <algorithm>

#include "common/status_macros.h"
#include "workers/engine/graph/shapes/rules.h"
#include "workers/engine/graph/window.h"

namespace condense::graph {
namespace {

absl::Status ReduceAxes(const Context& c, std::vector<int64_t> axes,
                        DType dtype) {
  const MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  const bool keep = c.node.Int("keepdims", 1) != 0;
  std::vector<bool> reduced(x->size(), axes.empty());
  if (axes.empty() && c.node.Int("noop_with_empty_axes", 0) != 0) {
    return SameAsInput(c);
  }
  for (int64_t axis : axes) {
    CONDENSE_ASSIGN_OR_RETURN(size_t at, Axis(c, axis, x->size()));
    reduced[at] = true;
  }
  Shape out;
  for (size_t i = 0; i < x->size(); ++i) {
    if (!reduced[i]) {
      out.push_back((*x)[i]);
    } else if (keep) {
      out.push_back(Dim(1));
    }
  }
  c.Set(0, dtype, out);
  return absl::OkStatus();
}

absl::Status Reduce(const Context& c) {
  std::vector<int64_t> axes = c.node.Ints("axes");
  if (c.node.input(1) != kNoValue) {
    const auto given = c.IntsAt(1);
    if (!given) {
      const MaybeShape x = c.ShapeOf(0);
      if (x && c.node.Int("keepdims", 1) != 0) {
        c.Set(0, c.DTypeAt(0), Shape(x->size()));
      }
      return absl::OkStatus();
    }
    axes = *given;
  }
  return ReduceAxes(c, axes, c.DTypeAt(0));
}

absl::Status ArgMinMax(const Context& c) {
  c.Set(0, DType::kInt64, std::nullopt);
  return ReduceAxes(c, {c.node.Int("axis", 0)}, DType::kInt64);
}

}  // namespace

void AddReductionRules(RuleTable* table) {
  for (const char* op : {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin",
                         "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
                         "ReduceLogSumExp", "ReduceSumSquare"}) {
    (*table)[op] = Reduce;
  }
  (*table)["ArgMax"] = ArgMinMax;
  (*table)["ArgMin"] = ArgMinMax;
}

}  // namespace condense::graph
