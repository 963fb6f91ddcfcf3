#include <algorithm>

#include "common/status_macros.h"
#include "workers/engine/graph/saturating.h"
#include "workers/engine/graph/shapes/rules.h"
#include "workers/engine/graph/window.h"

namespace condense::graph {
namespace {

// Of a shape that is computed: beyond any model.
constexpr int64_t kRankMax = 64;

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
      dim.value = SaturatingMultiply(dim.value, (*x)[i].value);
    }
    return dim;
  };
  c.Set(0, c.DTypeAt(0), Shape{product(0, axis), product(axis, x->size())});
  return absl::OkStatus();
}

absl::Status Reshape(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  const auto wanted = c.IntsAt(1);
  if (!wanted) {
    const MaybeShape sizes = c.ShapeOf(1);
    if (sizes && sizes->size() == 1 && (*sizes)[0].known() &&
        (*sizes)[0].value <= kRankMax &&
        !c.graph.value(c.node.outputs[0]).shape) {
      c.Set(0, c.DTypeAt(0), Shape((*sizes)[0].value));
    }
    return absl::OkStatus();
  }
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
        value = SaturatingMultiply(value, dim.value);
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
          known = SaturatingMultiply(known, dim.value);
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
  auto computed = [&](size_t i) {
    return c.node.input(i) != kNoValue && !c.IntsAt(i);
  };
  if (!starts || !ends || computed(3) || computed(4)) {
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
  } else if (c.node.input(1) != kNoValue) {
    return absl::OkStatus();  // axes that are computed
  } else {
    for (const Dim& dim : *x) {
      if (!dim.known()) return absl::OkStatus();
    }
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
  auto pads = c.IntsAt(1);
  if (!x) return absl::OkStatus();
  const auto axes = c.IntsAt(3);
  if (!pads || (c.node.input(3) != kNoValue && !axes)) {
    c.Set(0, c.DTypeAt(0), Shape(x->size()));
    return absl::OkStatus();
  }
  if (axes) {
    if (pads->size() != 2 * axes->size()) {
      return c.Mismatch("pads and axes differ in length");
    }
    std::vector<int64_t> full(2 * x->size(), 0);
    for (size_t i = 0; i < axes->size(); ++i) {
      CONDENSE_ASSIGN_OR_RETURN(size_t at, Axis(c, (*axes)[i], x->size()));
      full[at] = (*pads)[i];
      full[at + x->size()] = (*pads)[i + axes->size()];
    }
    pads = full;
  }
  if (pads->size() != 2 * x->size())
    return c.Mismatch("pads have another rank");
  Shape out = *x;
  for (size_t i = 0; i < x->size(); ++i) {
    const int64_t added = SaturatingAdd((*pads)[i], (*pads)[i + x->size()]);
    if (added == 0) continue;
    if (!out[i].known()) {
      out[i] = Dim();
      continue;
    }
    out[i] = Dim(SaturatingAdd(out[i].value, added));
    if (out[i].value < 0) return c.Mismatch("a negative size");
  }
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status Expand(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  const auto wanted = c.IntsAt(1);
  if (!x || !wanted) {
    const MaybeShape sizes = c.ShapeOf(1);
    if (x && sizes && sizes->size() == 1 && (*sizes)[0].known() &&
        (*sizes)[0].value <= kRankMax) {
      const size_t rank = std::max<size_t>(x->size(), (*sizes)[0].value);
      c.Set(0, c.DTypeAt(0), Shape(rank));
    }
    return absl::OkStatus();
  }
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
  c.Set(0, dtype, std::nullopt);
  if (dims) {
    c.Set(0, dtype, Shape(dims->begin(), dims->end()));
  } else if (const MaybeShape sizes = c.ShapeOf(0);
             sizes && sizes->size() == 1 && (*sizes)[0].known() &&
             (*sizes)[0].value <= kRankMax) {
    c.Set(0, dtype, Shape((*sizes)[0].value));
  }
  return absl::OkStatus();
}

absl::Status Resize(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  std::vector<int64_t> axes = c.node.Ints("axes");
  for (size_t i = axes.size(); c.node.Ints("axes").empty() && i < x->size();
       ++i) {
    axes.push_back(static_cast<int64_t>(i));
  }
  Shape out = *x;
  const bool stretch =
      c.node.String("keep_aspect_ratio_policy", "stretch") == "stretch";
  const auto sizes = c.IntsAt(3);
  const Tensor* scales = c.graph.ConstantOf(c.node.input(2));
  const bool cropped = c.node.String("coordinate_transformation_mode", "") ==
                       "tf_crop_and_resize";
  for (size_t i = 0; i < axes.size(); ++i) {
    CONDENSE_ASSIGN_OR_RETURN(size_t at, Axis(c, axes[i], x->size()));
    if (sizes && sizes->size() == axes.size() && stretch) {
      // A batch that is a symbol stays one.
      if (at > 0 || (*x)[0].known()) out[at] = Dim((*sizes)[i]);
    } else if (!sizes && scales != nullptr && !cropped &&
               scales->num_elements() == static_cast<int64_t>(axes.size())) {
      const float factor = scales->ToFloats()[i];
      if (factor == 1) continue;
      out[at] = out[at].known()
                    ? Dim(static_cast<int64_t>(
                          static_cast<double>(out[at].value) * factor))
                    : Dim();
    } else {
      out[at] = Dim();
    }
  }
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status Tile(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  const auto repeats = c.IntsAt(1);
  Shape out(x->size());
  if (repeats && repeats->size() != x->size()) {
    return c.Mismatch("repeats have another rank");
  }
  for (size_t i = 0; repeats && i < x->size(); ++i) {
    if ((*repeats)[i] == 1) out[i] = (*x)[i];
    if ((*x)[i].known())
      out[i] = Dim(SaturatingMultiply((*x)[i].value, (*repeats)[i]));
  }
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status SizeOp(const Context& c) {
  c.Set(0, DType::kInt64, Shape());
  return absl::OkStatus();
}

// Blocks of pixels to channels, or back.
absl::Status SpaceDepth(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  const int64_t block = c.node.Int("blocksize", 1);
  if (x->size() != 4 || block <= 0) return c.Mismatch("the input is no image");
  const bool to_depth = c.node.op == "SpaceToDepth";
  Shape out = *x;
  auto scale = [&](Dim& dim, int64_t factor, bool grow) {
    if (!dim.known()) return;
    dim =
        Dim(grow ? SaturatingMultiply(dim.value, factor) : dim.value / factor);
  };
  scale(out[1], block * block, to_depth);
  scale(out[2], block, !to_depth);
  scale(out[3], block, !to_depth);
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status CenterCropPad(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  const auto sizes = c.IntsAt(1);
  const std::vector<int64_t> axes = c.node.Ints("axes");
  Shape out = *x;
  const size_t count = axes.empty() ? x->size() : axes.size();
  for (size_t i = 0; i < count; ++i) {
    CONDENSE_ASSIGN_OR_RETURN(
        size_t at,
        Axis(c, axes.empty() ? static_cast<int64_t>(i) : axes[i], x->size()));
    out[at] = sizes && i < sizes->size() ? Dim((*sizes)[i]) : Dim();
  }
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

absl::Status ShapeOp(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  c.Set(0, DType::kInt64, std::nullopt);
  if (!x) return absl::OkStatus();
  const int64_t rank = static_cast<int64_t>(x->size());
  auto clamp = [&](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const int64_t from = clamp(c.node.Int("start", 0));
  const int64_t to = clamp(c.node.Int("end", rank));
  c.Set(0, DType::kInt64, Shape{std::max<int64_t>(0, to - from)});
  return absl::OkStatus();
}

}  // namespace

void AddLayoutRules(RuleTable* table) {
  table->insert({{"Flatten", Flatten},
                 {"Reshape", Reshape},
                 {"Transpose", Transpose},
                 {"Concat", Concat},
                 {"Split", Split},
                 {"Slice", Slice},
                 {"Gather", Gather},
                 {"Squeeze", Squeeze},
                 {"Unsqueeze", Unsqueeze},
                 {"Pad", Pad},
                 {"Expand", Expand},
                 {"ConstantOfShape", ConstantOfShape},
                 {"Resize", Resize},
                 {"CenterCropPad", CenterCropPad},
                 {"DepthToSpace", SpaceDepth},
                 {"Size", SizeOp},
                 {"SpaceToDepth", SpaceDepth},
                 {"Tile", Tile},
                 {"Shape", ShapeOp}});
}

}  // namespace condense::graph
