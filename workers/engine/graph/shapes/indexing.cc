// Operators that pick, place or make elements by index.

#include <algorithm>
#include <cmath>

#include "common/status_macros.h"
#include "workers/engine/graph/saturating.h"
#include "workers/engine/graph/shapes/rules.h"
namespace condense::graph {
namespace {

absl::Status GatherElements(const Context& c) {
  c.Set(0, c.DTypeAt(0), c.ShapeOf(1));
  return absl::OkStatus();
}

absl::Status GatherND(const Context& c) {
  const MaybeShape x = c.ShapeOf(0), indices = c.ShapeOf(1);
  if (!x || !indices || indices->empty() || !indices->back().known()) {
    return absl::OkStatus();
  }
  const int64_t from = c.node.Int("batch_dims", 0) + indices->back().value;
  if (from < 0 || from > static_cast<int64_t>(x->size())) {
    return c.Mismatch("more indices than dimensions");
  }
  Shape out(indices->begin(), indices->end() - 1);
  out.insert(out.end(), x->begin() + from, x->end());
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status OneHot(const Context& c) {
  c.Set(0, c.DTypeAt(2), std::nullopt);
  MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  const auto depth = c.IntsAt(1);
  CONDENSE_ASSIGN_OR_RETURN(size_t axis,
                            Axis(c, c.node.Int("axis", -1), x->size() + 1));
  x->insert(x->begin() + axis,
            depth && depth->size() == 1 ? Dim((*depth)[0]) : Dim());
  c.Set(0, c.DTypeAt(2), x);
  return absl::OkStatus();
}

absl::Status TopK(const Context& c) {
  c.Set(1, DType::kInt64, std::nullopt);
  MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  CONDENSE_ASSIGN_OR_RETURN(size_t axis,
                            Axis(c, c.node.Int("axis", -1), x->size()));
  const auto k = c.IntsAt(1);
  (*x)[axis] = k && k->size() == 1 ? Dim((*k)[0]) : Dim();
  c.Set(0, c.DTypeAt(0), x);
  c.Set(1, DType::kInt64, x);
  return absl::OkStatus();
}

absl::Status NonZero(const Context& c) {
  c.Set(0, DType::kInt64, std::nullopt);
  const MaybeShape x = c.ShapeOf(0);
  if (x) {
    c.Set(0, DType::kInt64, Shape{static_cast<int64_t>(x->size()), Dim()});
  }
  return absl::OkStatus();
}

absl::Status Compress(const Context& c) {
  MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  if (!c.node.Has("axis")) {
    c.Set(0, c.DTypeAt(0), Shape{Dim()});
    return absl::OkStatus();
  }
  CONDENSE_ASSIGN_OR_RETURN(size_t axis,
                            Axis(c, c.node.Int("axis", 0), x->size()));
  (*x)[axis] = Dim();
  c.Set(0, c.DTypeAt(0), x);
  return absl::OkStatus();
}

absl::Status Unique(const Context& c) {
  for (size_t i = 1; i < 4; ++i) c.Set(i, DType::kInt64, Shape{Dim()});
  return Compress(c);
}

// A single number of a constant, integer or floating.
std::optional<double> NumberAt(const Context& c, size_t i) {
  const Tensor* tensor = c.graph.ConstantOf(c.node.input(i));
  if (tensor == nullptr || tensor->num_elements() != 1 ||
      tensor->dtype() == DType::kString) {
    return std::nullopt;
  }
  return IsFloating(tensor->dtype())
             ? static_cast<double>(tensor->ToFloats()[0])
             : static_cast<double>(tensor->ToInts()[0]);
}

absl::Status Range(const Context& c) {
  c.Set(0, c.DTypeAt(0), Shape{Dim()});
  const auto start = NumberAt(c, 0), limit = NumberAt(c, 1),
             delta = NumberAt(c, 2);
  if (!start || !limit || !delta || *delta == 0) return absl::OkStatus();
  const double count = std::ceil((*limit - *start) / *delta);
  if (count < 1e15) {
    c.Set(0, c.DTypeAt(0), Shape{static_cast<int64_t>(std::max(0.0, count))});
  }
  return absl::OkStatus();
}

absl::Status EyeLike(const Context& c) {
  const DType dtype = DTypeFromName(c.node.String("dtype", ""));
  c.Set(0, dtype == DType::kUndefined ? c.DTypeAt(0) : dtype, c.ShapeOf(0));
  return absl::OkStatus();
}

absl::Status NonMaxSuppression(const Context& c) {
  c.Set(0, DType::kInt64, Shape{Dim(), Dim(3)});
  return absl::OkStatus();
}

absl::Status RoiAlign(const Context& c) {
  const MaybeShape x = c.ShapeOf(0), rois = c.ShapeOf(1);
  if (!x || !rois || x->size() != 4 || rois->empty()) return absl::OkStatus();
  c.Set(0, c.DTypeAt(0),
        Shape{(*rois)[0], (*x)[1], c.node.Int("output_height", 1),
              c.node.Int("output_width", 1)});
  return absl::OkStatus();
}

absl::Status GridSample(const Context& c) {
  const MaybeShape x = c.ShapeOf(0), grid = c.ShapeOf(1);
  if (!x || !grid || x->size() < 3 || grid->size() != x->size()) {
    return absl::OkStatus();
  }
  Shape out = {(*x)[0], (*x)[1]};
  out.insert(out.end(), grid->begin() + 1, grid->end() - 1);
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status AffineGrid(const Context& c) {
  const auto size = c.IntsAt(1);
  if (!size || size->size() < 4) return absl::OkStatus();
  Shape out = {(*size)[0]};
  out.insert(out.end(), size->begin() + 2, size->end());
  out.push_back(static_cast<int64_t>(size->size()) - 2);
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status Col2Im(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  const auto image = c.IntsAt(1), block = c.IntsAt(2);
  if (!x || x->size() != 3 || !image || !block) return absl::OkStatus();
  int64_t area = 1;
  for (int64_t size : *block) area = SaturatingMultiply(area, size);
  Shape out = {(*x)[0],
               (*x)[1].known() && area > 0 ? Dim((*x)[1].value / area) : Dim()};
  out.insert(out.end(), image->begin(), image->end());
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

}  // namespace

void AddIndexingRules(RuleTable* table) {
  (*table)["AffineGrid"] = AffineGrid;
  (*table)["Col2Im"] = Col2Im;
  (*table)["Compress"] = Compress;
  (*table)["EyeLike"] = EyeLike;
  (*table)["GatherElements"] = GatherElements;
  (*table)["GatherND"] = GatherND;
  (*table)["GridSample"] = GridSample;
  (*table)["NonMaxSuppression"] = NonMaxSuppression;
  (*table)["NonZero"] = NonZero;
  (*table)["OneHot"] = OneHot;
  (*table)["Range"] = Range;
  (*table)["RoiAlign"] = RoiAlign;
  (*table)["ScatterElements"] = SameAsInput;
  (*table)["ScatterND"] = SameAsInput;
  (*table)["TopK"] = TopK;
  (*table)["Unique"] = Unique;
}

}  // namespace condense::graph
