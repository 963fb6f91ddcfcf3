#include "workers/engine/graph/infer_shapes.h"

#include <algorithm>
#include <functional>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/graph/window.h"

namespace condense::graph {
namespace {

using MaybeShape = std::optional<Shape>;

// One node with what is known of its inputs.
struct Context {
  Graph& graph;
  const Node& node;

  MaybeShape ShapeOf(size_t i) const {
    const ValueId id = node.input(i);
    return id == kNoValue ? std::nullopt : graph.value(id).shape;
  }
  DType DTypeAt(size_t i) const {
    const ValueId id = node.input(i);
    return id == kNoValue ? DType::kUndefined : graph.value(id).dtype;
  }
  // A constant integer input, or nullopt.
  std::optional<std::vector<int64_t>> IntsAt(size_t i) const {
    const Tensor* tensor = graph.ConstantOf(node.input(i));
    if (tensor == nullptr) return std::nullopt;
    return tensor->ToInts();
  }
  absl::Status Mismatch(const std::string& why) const {
    std::string shapes;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      absl::StrAppend(&shapes, i ? ", " : "", ShapeText(ShapeOf(i)));
    }
    return MakeError(absl::StatusCode::kInvalidArgument, "SHAPE_MISMATCH",
                     absl::StrCat(node.op, ": ", why, " (inputs ", shapes, ")"),
                     {.node = node.name});
  }
  void Set(size_t i, DType dtype, MaybeShape shape) const {
    if (i >= node.outputs.size() || node.outputs[i] == kNoValue) return;
    Value& value = graph.mutable_value(node.outputs[i]);
    if (dtype != DType::kUndefined) value.dtype = dtype;
    if (shape.has_value()) value.shape = std::move(shape);
  }
};

using Rule = std::function<absl::Status(const Context&)>;

absl::StatusOr<Shape> Broadcast(const Context& c, const Shape& a,
                                const Shape& b) {
  Shape out(std::max(a.size(), b.size()));
  for (size_t i = 0; i < out.size(); ++i) {
    const Dim one(1);
    const Dim& x = i < a.size() ? a[a.size() - 1 - i] : one;
    const Dim& y = i < b.size() ? b[b.size() - 1 - i] : one;
    Dim& z = out[out.size() - 1 - i];
    if (x == y || y == one) {
      z = x;
    } else if (x == one) {
      z = y;
    } else if (x.known() && y.known()) {
      return c.Mismatch("shapes do not broadcast");
    } else {
      z = x.known() ? x : y;
    }
  }
  return out;
}

absl::Status SameAsInput(const Context& c) {
  c.Set(0, c.DTypeAt(0), c.ShapeOf(0));
  return absl::OkStatus();
}

absl::Status Elementwise(const Context& c, DType dtype) {
  MaybeShape shape = c.ShapeOf(0);
  for (size_t i = 1; i < c.node.inputs.size() && shape.has_value(); ++i) {
    const MaybeShape other = c.ShapeOf(i);
    if (!other.has_value()) {
      shape = std::nullopt;
      break;
    }
    CONDENSE_ASSIGN_OR_RETURN(shape, Broadcast(c, *shape, *other));
  }
  c.Set(0, dtype, shape);
  return absl::OkStatus();
}
absl::Status Arithmetic(const Context& c) {
  return Elementwise(c, c.DTypeAt(0));
}
absl::Status Comparison(const Context& c) {
  return Elementwise(c, DType::kBool);
}
absl::Status Where(const Context& c) { return Elementwise(c, c.DTypeAt(1)); }

absl::StatusOr<size_t> Axis(const Context& c, int64_t axis, size_t rank) {
  if (axis < 0) axis += static_cast<int64_t>(rank);
  if (axis < 0 || axis >= static_cast<int64_t>(rank)) {
    return c.Mismatch("the axis lies outside of the shape");
  }
  return static_cast<size_t>(axis);
}

// Spatial output sizes of a window over x (first spatial axis at 2).
absl::Status WindowShape(const Context& c, const Shape& x,
                         absl::Span<const int64_t> kernel, Shape* out) {
  std::vector<int64_t> spatial;
  for (size_t i = 2; i < x.size(); ++i) spatial.push_back(x[i].value);
  const Window window = WindowOf(c.node, kernel, spatial);
  if (window.kernel.size() != spatial.size() ||
      window.strides.size() != spatial.size() ||
      window.dilations.size() != spatial.size()) {
    return c.Mismatch("kernel and input have different ranks");
  }
  for (size_t i = 0; i < spatial.size(); ++i) {
    if (window.strides[i] <= 0 || window.kernel[i] <= 0 ||
        window.dilations[i] <= 0) {
      return c.Mismatch("kernel, strides and dilations must be positive");
    }
    Dim dim;
    if (spatial[i] >= 0) {
      dim.value = window.OutputSize(i, spatial[i]);
      if (dim.value <= 0)
        return c.Mismatch("the window is larger than the input");
    }
    out->push_back(dim);
  }
  return absl::OkStatus();
}

absl::Status Conv(const Context& c) {
  const MaybeShape x = c.ShapeOf(0), w = c.ShapeOf(1);
  if (!x || !w) return absl::OkStatus();
  if (x->size() < 3 || w->size() != x->size()) {
    return c.Mismatch("input and weight must have the same rank, 3 or more");
  }
  const int64_t group = c.node.Int("group", 1);
  const Dim &channels = (*x)[1], &per_group = (*w)[1];
  if (group <= 0 || (channels.known() && per_group.known() &&
                     channels.value != per_group.value * group)) {
    return c.Mismatch("channels of input and weight differ");
  }
  std::vector<int64_t> kernel;
  for (size_t i = 2; i < w->size(); ++i) kernel.push_back((*w)[i].value);
  Shape out = {(*x)[0], (*w)[0]};
  CONDENSE_RETURN_IF_ERROR(WindowShape(c, *x, kernel, &out));
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status ConvTranspose(const Context& c) {
  const MaybeShape x = c.ShapeOf(0), w = c.ShapeOf(1);
  if (!x || !w) return absl::OkStatus();
  if (x->size() < 3 || w->size() != x->size()) {
    return c.Mismatch("input and weight must have the same rank, 3 or more");
  }
  Shape out = {(*x)[0], (*w)[1].known()
                            ? Dim((*w)[1].value * c.node.Int("group", 1))
                            : Dim()};
  std::vector<int64_t> spatial, kernel;
  for (size_t i = 2; i < x->size(); ++i) {
    spatial.push_back((*x)[i].value);
    kernel.push_back((*w)[i].value);
  }
  const Window window = WindowOf(c.node, kernel, spatial);
  std::vector<int64_t> extra = c.node.Ints("output_padding");
  extra.resize(spatial.size(), 0);
  const std::vector<int64_t> wanted = c.node.Ints("output_shape");
  for (size_t i = 0; i < spatial.size(); ++i) {
    Dim dim;
    if (i < wanted.size()) {
      dim = Dim(wanted[i]);
    } else if (spatial[i] >= 0) {
      dim = Dim(window.strides[i] * (spatial[i] - 1) + extra[i] +
                (kernel[i] - 1) * window.dilations[i] + 1 -
                window.pads_begin[i] - window.pads_end[i]);
    }
    out.push_back(dim);
  }
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status Pool(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  if (x->size() < 3) return c.Mismatch("the input must have rank 3 or more");
  Shape out = {(*x)[0], (*x)[1]};
  CONDENSE_RETURN_IF_ERROR(WindowShape(c, *x, {}, &out));
  c.Set(0, c.DTypeAt(0), out);
  c.Set(1, DType::kInt64, out);
  return absl::OkStatus();
}

absl::Status GlobalPool(const Context& c) {
  MaybeShape x = c.ShapeOf(0);
  for (size_t i = 2; x && i < x->size(); ++i) (*x)[i] = Dim(1);
  c.Set(0, c.DTypeAt(0), x);
  return absl::OkStatus();
}

absl::Status Gemm(const Context& c) {
  const MaybeShape a = c.ShapeOf(0), b = c.ShapeOf(1);
  if (!a || !b) return absl::OkStatus();
  if (a->size() != 2 || b->size() != 2) return c.Mismatch("ranks must be 2");
  const bool ta = c.node.Int("transA", 0), tb = c.node.Int("transB", 0);
  const Dim &inner_a = (*a)[ta ? 0 : 1], &inner_b = (*b)[tb ? 1 : 0];
  if (inner_a.known() && inner_b.known() && inner_a.value != inner_b.value) {
    return c.Mismatch("inner sizes differ");
  }
  c.Set(0, c.DTypeAt(0), Shape{(*a)[ta ? 1 : 0], (*b)[tb ? 0 : 1]});
  return absl::OkStatus();
}

absl::Status MatMul(const Context& c) {
  MaybeShape a = c.ShapeOf(0), b = c.ShapeOf(1);
  if (!a || !b) return absl::OkStatus();
  if (a->empty() || b->empty()) return c.Mismatch("scalars");
  const bool vector_a = a->size() == 1, vector_b = b->size() == 1;
  if (vector_a) a->insert(a->begin(), Dim(1));
  if (vector_b) b->push_back(Dim(1));
  const Dim &inner_a = a->back(), &inner_b = (*b)[b->size() - 2];
  if (inner_a.known() && inner_b.known() && inner_a.value != inner_b.value) {
    return c.Mismatch("inner sizes differ");
  }
  CONDENSE_ASSIGN_OR_RETURN(Shape out,
                            Broadcast(c, Shape(a->begin(), a->end() - 2),
                                      Shape(b->begin(), b->end() - 2)));
  if (!vector_a) out.push_back((*a)[a->size() - 2]);
  if (!vector_b) out.push_back(b->back());
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status Flatten(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  int64_t axis = c.node.Int("axis", 1);
  if (axis < 0) axis += static_cast<int64_t>(x->size());
  if (axis < 0 || axis > static_cast<int64_t>(x->size())) {
    return c.Mismatch("the axis lies outside of the shape");
  }
  auto product = [&](size_t from, size_t to) {
    if (to == from + 1) return (*x)[from];
    Dim dim(1);
    for (size_t i = from; i < to; ++i) {
      if (!(*x)[i].known()) return Dim();
      dim.value *= (*x)[i].value;
    }
    return dim;
  };
  c.Set(0, c.DTypeAt(0), Shape{product(0, axis), product(axis, x->size())});
  return absl::OkStatus();
}

absl::Status Reshape(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  const auto wanted = c.IntsAt(1);
  if (!wanted) return absl::OkStatus();
  Shape out;
  int infer_at = -1;
  for (size_t i = 0; i < wanted->size(); ++i) {
    const int64_t size = (*wanted)[i];
    if (size == 0 && c.node.Int("allowzero", 0) == 0) {
      if (x && i >= x->size()) return c.Mismatch("no dimension to copy");
      out.push_back(x ? (*x)[i] : Dim());
    } else {
      if (size < -1) return c.Mismatch("a negative size");
      if (size == -1) infer_at = static_cast<int>(i);
      out.push_back(size == -1 ? Dim() : Dim(size));
    }
  }
  if (x) {
    // Symbols that stand on both sides cancel out.
    Shape left = *x, right;
    for (size_t i = 0; i < out.size(); ++i) {
      if (static_cast<int>(i) == infer_at) continue;
      auto same = std::find(left.begin(), left.end(), out[i]);
      if (!out[i].known() && !out[i].symbol.empty() && same != left.end()) {
        left.erase(same);
      } else {
        right.push_back(out[i]);
      }
    }
    auto product = [](const Shape& shape) {
      int64_t value = 1;
      for (const Dim& dim : shape) {
        if (!dim.known()) return int64_t{-1};
        value *= dim.value;
      }
      return value;
    };
    const int64_t total = product(left), rest = product(right);
    if (total >= 0 && rest >= 0) {
      if (infer_at < 0 ? total != rest : rest == 0 || total % rest != 0) {
        return c.Mismatch("the number of elements changes");
      }
      if (infer_at >= 0) out[infer_at] = Dim(total / rest);
    } else if (infer_at >= 0 && rest > 0) {
      // One symbol left and the numbers cancel out: -1 is the symbol.
      int64_t known = 1;
      const Dim* symbol = nullptr;
      int unknown = 0;
      for (const Dim& dim : left) {
        if (dim.known()) {
          known *= dim.value;
        } else {
          symbol = &dim;
          ++unknown;
        }
      }
      if (unknown == 1 && known == rest) out[infer_at] = *symbol;
    }
  }
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status Transpose(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  std::vector<int64_t> perm = c.node.Ints("perm");
  if (perm.empty()) {
    for (size_t i = x->size(); i > 0; --i) perm.push_back(i - 1);
  }
  if (perm.size() != x->size()) return c.Mismatch("perm has another rank");
  Shape out;
  for (int64_t axis : perm) {
    CONDENSE_ASSIGN_OR_RETURN(size_t at, Axis(c, axis, x->size()));
    out.push_back((*x)[at]);
  }
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status Concat(const Context& c) {
  MaybeShape out = c.ShapeOf(0);
  if (!out) return absl::OkStatus();
  CONDENSE_ASSIGN_OR_RETURN(size_t axis,
                            Axis(c, c.node.Int("axis", 0), out->size()));
  for (size_t i = 1; i < c.node.inputs.size(); ++i) {
    const MaybeShape x = c.ShapeOf(i);
    if (!x) return absl::OkStatus();
    if (x->size() != out->size()) return c.Mismatch("ranks differ");
    for (size_t d = 0; d < x->size(); ++d) {
      if (d != axis && (*x)[d].known() && (*out)[d].known() &&
          (*x)[d].value != (*out)[d].value) {
        return c.Mismatch("sizes differ outside of the axis");
      }
    }
    Dim& sum = (*out)[axis];
    sum = sum.known() && (*x)[axis].known() ? Dim(sum.value + (*x)[axis].value)
                                            : Dim();
  }
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status Split(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  CONDENSE_ASSIGN_OR_RETURN(size_t axis,
                            Axis(c, c.node.Int("axis", 0), x->size()));
  const auto sizes = c.IntsAt(1);
  const int64_t parts = static_cast<int64_t>(c.node.outputs.size());
  for (int64_t i = 0; i < parts; ++i) {
    Shape out = *x;
    if (sizes && i < static_cast<int64_t>(sizes->size())) {
      out[axis] = Dim((*sizes)[i]);
    } else if (out[axis].known()) {
      const int64_t chunk = (out[axis].value + parts - 1) / parts;
      out[axis] = Dim(std::min(
          chunk, out[axis].value - std::min(out[axis].value, i * chunk)));
    }
    c.Set(i, c.DTypeAt(0), out);
  }
  return absl::OkStatus();
}

absl::Status Slice(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  const auto starts = c.IntsAt(1), ends = c.IntsAt(2);
  if (!x) return absl::OkStatus();
  if (!starts || !ends) {
    c.Set(0, c.DTypeAt(0), Shape(x->size()));
    return absl::OkStatus();
  }
  std::vector<int64_t> axes, steps(starts->size(), 1);
  for (size_t i = 0; i < starts->size(); ++i) axes.push_back(i);
  if (auto given = c.IntsAt(3)) axes = *given;
  if (auto given = c.IntsAt(4)) steps = *given;
  if (ends->size() != starts->size() || axes.size() != starts->size() ||
      steps.size() != starts->size()) {
    return c.Mismatch("starts, ends, axes and steps differ in length");
  }
  Shape out = *x;
  for (size_t i = 0; i < starts->size(); ++i) {
    CONDENSE_ASSIGN_OR_RETURN(size_t axis, Axis(c, axes[i], x->size()));
    const int64_t size = (*x)[axis].value, step = steps[i];
    if (step == 0) return c.Mismatch("a step of 0");
    if (size < 0) {
      const bool whole =
          (*starts)[i] == 0 && step == 1 && (*ends)[i] >= int64_t{1} << 31;
      if (!whole) out[axis] = Dim();
      continue;
    }
    auto clamp = [&](int64_t v, int64_t low, int64_t high) {
      return std::clamp(v < 0 ? v + size : v, low, high);
    };
    const int64_t from = step > 0 ? clamp((*starts)[i], 0, size)
                                  : clamp((*starts)[i], 0, size - 1);
    const int64_t to =
        step > 0 ? clamp((*ends)[i], 0, size) : clamp((*ends)[i], -1, size - 1);
    const int64_t span = step > 0 ? to - from : from - to;
    const int64_t stride = std::abs(step);
    out[axis] = Dim(std::max<int64_t>(0, (span + stride - 1) / stride));
  }
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status Gather(const Context& c) {
  const MaybeShape x = c.ShapeOf(0), indices = c.ShapeOf(1);
  if (!x || !indices) return absl::OkStatus();
  CONDENSE_ASSIGN_OR_RETURN(size_t axis,
                            Axis(c, c.node.Int("axis", 0), x->size()));
  Shape out(x->begin(), x->begin() + axis);
  out.insert(out.end(), indices->begin(), indices->end());
  out.insert(out.end(), x->begin() + axis + 1, x->end());
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status Squeeze(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  std::vector<bool> drop(x->size(), false);
  if (const auto axes = c.IntsAt(1)) {
    for (int64_t axis : *axes) {
      CONDENSE_ASSIGN_OR_RETURN(size_t at, Axis(c, axis, x->size()));
      drop[at] = true;
    }
  } else {
    for (size_t i = 0; i < x->size(); ++i) drop[i] = (*x)[i] == Dim(1);
  }
  Shape out;
  for (size_t i = 0; i < x->size(); ++i) {
    if (!drop[i]) out.push_back((*x)[i]);
  }
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status Unsqueeze(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  const auto axes = c.IntsAt(1);
  if (!x || !axes) return absl::OkStatus();
  const size_t rank = x->size() + axes->size();
  std::vector<bool> fresh(rank, false);
  for (int64_t axis : *axes) {
    CONDENSE_ASSIGN_OR_RETURN(size_t at, Axis(c, axis, rank));
    if (fresh[at]) return c.Mismatch("an axis stands twice");
    fresh[at] = true;
  }
  Shape out;
  size_t next = 0;
  for (size_t i = 0; i < rank; ++i) {
    out.push_back(fresh[i] ? Dim(1) : (*x)[next++]);
  }
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status Pad(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  const auto pads = c.IntsAt(1);
  if (!x) return absl::OkStatus();
  if (!pads) {
    c.Set(0, c.DTypeAt(0), Shape(x->size()));
    return absl::OkStatus();
  }
  if (pads->size() != 2 * x->size())
    return c.Mismatch("pads have another rank");
  Shape out = *x;
  for (size_t i = 0; i < x->size(); ++i) {
    const int64_t added = (*pads)[i] + (*pads)[i + x->size()];
    if (added == 0) continue;
    out[i] = out[i].known() ? Dim(out[i].value + added) : Dim();
    if (out[i].known() && out[i].value < 0)
      return c.Mismatch("a negative size");
  }
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

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
    if (!given) return absl::OkStatus();
    axes = *given;
  }
  return ReduceAxes(c, axes, c.DTypeAt(0));
}

absl::Status ArgMinMax(const Context& c) {
  return ReduceAxes(c, {c.node.Int("axis", 0)}, DType::kInt64);
}

absl::Status ShapeOp(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  c.Set(0, DType::kInt64,
        x ? MaybeShape(Shape{static_cast<int64_t>(x->size())}) : std::nullopt);
  return absl::OkStatus();
}

absl::Status Cast(const Context& c) {
  c.Set(0, DTypeFromName(c.node.String("to", "")), c.ShapeOf(0));
  return absl::OkStatus();
}

absl::Status Expand(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  const auto wanted = c.IntsAt(1);
  if (!x || !wanted) return absl::OkStatus();
  CONDENSE_ASSIGN_OR_RETURN(
      Shape out, Broadcast(c, *x, Shape(wanted->begin(), wanted->end())));
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status ConstantOfShape(const Context& c) {
  DType dtype = DType::kFloat32;
  if (auto it = c.node.attrs.find("value"); it != c.node.attrs.end()) {
    if (const Tensor* t = std::get_if<Tensor>(&it->second)) dtype = t->dtype();
  }
  const auto dims = c.IntsAt(0);
  c.Set(0, dtype,
        dims ? MaybeShape(Shape(dims->begin(), dims->end())) : std::nullopt);
  return absl::OkStatus();
}

absl::Status Resize(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  Shape out = *x;
  if (const auto sizes = c.IntsAt(3); sizes && sizes->size() == x->size()) {
    for (size_t i = 0; i < x->size(); ++i) {
      if (i > 0 || (*x)[0].known()) out[i] = Dim((*sizes)[i]);
    }
  } else if (const Tensor* scales = c.graph.ConstantOf(c.node.input(2))) {
    const std::vector<float> factors = scales->ToFloats();
    if (factors.size() != x->size())
      return c.Mismatch("scales have another rank");
    for (size_t i = 0; i < x->size(); ++i) {
      if (factors[i] == 1) continue;
      out[i] =
          out[i].known()
              ? Dim(static_cast<int64_t>(out[i].value * double{factors[i]}))
              : Dim();
    }
  } else {
    out.assign(x->size(), Dim());
  }
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status Quantize(const Context& c) {
  const DType dtype = c.DTypeAt(2);
  c.Set(0, dtype == DType::kUndefined ? DType::kUint8 : dtype, c.ShapeOf(0));
  return absl::OkStatus();
}

absl::Status Dequantize(const Context& c) {
  c.Set(0, DType::kFloat32, c.ShapeOf(0));
  return absl::OkStatus();
}

absl::Status Normalization(const Context& c) {
  const MaybeShape x = c.ShapeOf(0), scale = c.ShapeOf(1);
  if (c.node.op == "BatchNormalization" && x && scale && x->size() > 1 &&
      scale->size() == 1 && (*x)[1].known() && (*scale)[0].known() &&
      (*x)[1].value != (*scale)[0].value) {
    return c.Mismatch("scale and input have different channels");
  }
  return SameAsInput(c);
}

const std::map<std::string, Rule>& Rules() {
  static const auto& rules = *[] {
    auto* map = new std::map<std::string, Rule>();
    for (const char* op : {"Abs",
                           "Acos",
                           "Asin",
                           "Atan",
                           "Ceil",
                           "Clip",
                           "Cos",
                           "Dropout",
                           "Elu",
                           "Erf",
                           "Exp",
                           "Floor",
                           "Gelu",
                           "HardSigmoid",
                           "HardSwish",
                           "Identity",
                           "LeakyRelu",
                           "Log",
                           "LogSoftmax",
                           "Mish",
                           "Neg",
                           "Not",
                           "PRelu",
                           "Reciprocal",
                           "Relu",
                           "Round",
                           "Selu",
                           "Sigmoid",
                           "Sign",
                           "Sin",
                           "Softmax",
                           "Softplus",
                           "Softsign",
                           "Sqrt",
                           "Tan",
                           "Tanh",
                           "ThresholdedRelu",
                           "LRN",
                           "LpNormalization",
                           "CumSum"}) {
      (*map)[op] = SameAsInput;
    }
    for (const char* op : {"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max",
                           "Mean", "Sum", "Mod"}) {
      (*map)[op] = Arithmetic;
    }
    for (const char* op : {"Equal", "Greater", "GreaterOrEqual", "Less",
                           "LessOrEqual", "And", "Or", "Xor"}) {
      (*map)[op] = Comparison;
    }
    for (const char* op :
         {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd",
          "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceSumSquare"}) {
      (*map)[op] = Reduce;
    }
    for (const char* op : {"BatchNormalization", "InstanceNormalization",
                           "LayerNormalization", "GroupNormalization"}) {
      (*map)[op] = Normalization;
    }
    const std::pair<const char*, Rule> rest[] = {
        {"Conv", Conv},
        {"ConvTranspose", ConvTranspose},
        {"MaxPool", Pool},
        {"AveragePool", Pool},
        {"LpPool", Pool},
        {"GlobalAveragePool", GlobalPool},
        {"GlobalMaxPool", GlobalPool},
        {"Gemm", Gemm},
        {"MatMul", MatMul},
        {"Flatten", Flatten},
        {"Reshape", Reshape},
        {"Transpose", Transpose},
        {"Concat", Concat},
        {"Split", Split},
        {"Slice", Slice},
        {"Gather", Gather},
        {"Squeeze", Squeeze},
        {"Unsqueeze", Unsqueeze},
        {"Pad", Pad},
        {"ArgMax", ArgMinMax},
        {"ArgMin", ArgMinMax},
        {"Shape", ShapeOp},
        {"Cast", Cast},
        {"Expand", Expand},
        {"ConstantOfShape", ConstantOfShape},
        {"Resize", Resize},
        {"Where", Where},
        {"QuantizeLinear", Quantize},
        {"DequantizeLinear", Dequantize}};
    for (const auto& [op, rule] : rest) (*map)[op] = rule;
    return map;
  }();
  return rules;
}

}  // namespace

absl::Status InferShapes(Graph& graph) {
  for (NodeId id : graph.order()) {
    const Context context{graph, graph.node(id)};
    if (context.node.IsFakeQuantize()) {
      CONDENSE_RETURN_IF_ERROR(SameAsInput(context));
      continue;
    }
    auto rule = Rules().find(context.node.op);
    if (rule == Rules().end() || !context.node.domain.empty()) continue;
    CONDENSE_RETURN_IF_ERROR(rule->second(context));
  }
  return absl::OkStatus();
}

}  // namespace condense::graph
