// Operators that give elements another shape or order, or pick them.

#include <algorithm>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "workers/engine/import/torchscript/interpreter.h"

namespace condense::torchscript_import {
namespace {

using graph::DType;
using graph::kNoValue;
using graph::ValueId;
using Items = std::vector<Item>;
using Sizes = std::vector<int64_t>;

constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();

bool Known(const Item& item) { return item.kind == Item::Kind::kConcrete; }

// A reshape whose one size that depends on the batch is written as -1, so that
// the sizes are a constant.
Items ReshapeTo(Builder& b, ValueId x, const Items& sizes) {
  int unknown = 0, inferred = 0;
  for (const Item& size : sizes) {
    if (!Known(size)) {
      ++unknown;
    } else if (size.value.toInt() == -1) {
      ++inferred;
    }
  }
  // A first size that copies the input's first one is a 0.
  const bool copies_first =
      !sizes.empty() && !Known(sizes[0]) && b.RankOf(x) > 0 &&
      sizes[0].symbol == b.ShapeOf(x)[0].symbol && !sizes[0].symbol.empty();
  if (unknown > 1 || (unknown == 1 && inferred > 0 && !copies_first)) {
    return {b.Result("Reshape", {x, b.SizesInput(sizes)})};
  }
  Sizes wanted;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (Known(sizes[i])) {
      wanted.push_back(sizes[i].value.toInt());
    } else {
      wanted.push_back(i == 0 && copies_first ? 0 : -1);
    }
  }
  return {b.Result("Reshape", {x, b.Ints(wanted)})};
}

Items View(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  if (a[1].kind == Item::Kind::kConcrete && a[1].value.isInt()) {
    return {Item::Tensor(b.Cast(x, DTypeOfScalarType(a.Int(1))))};
  }
  return ReshapeTo(b, x, a.List(1));
}

Items Flatten(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const int64_t from = b.AxisOf(x, a.Int(1)), to = b.AxisOf(x, a.Int(2));
  if (from == 1 && to == b.RankOf(x) - 1) {
    return {b.Result("Flatten", {x}, {{"axis", int64_t{1}}})};
  }
  Items sizes;
  for (int64_t i = 0; i < from; ++i) sizes.push_back(b.SizeOf(x, i));
  sizes.push_back(Item::Concrete(int64_t{-1}));
  for (int64_t i = to + 1; i < b.RankOf(x); ++i) {
    sizes.push_back(b.SizeOf(x, i));
  }
  return ReshapeTo(b, x, sizes);
}

// unflatten(x, axis, sizes)
Items Unflatten(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const int64_t axis = b.AxisOf(x, a.Int(1));
  Items sizes;
  for (int64_t i = 0; i < b.RankOf(x); ++i) {
    if (i != axis) {
      sizes.push_back(b.SizeOf(x, i));
      continue;
    }
    for (const Item& size : a.List(2)) sizes.push_back(size);
  }
  return ReshapeTo(b, x, sizes);
}

Items Squeeze(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  Sizes axes;
  if (a.size() > 1) {
    for (int64_t axis : a.Ints(1)) axes.push_back(b.AxisOf(x, axis));
  } else {
    for (int64_t i = 0; i < b.RankOf(x); ++i) axes.push_back(i);
  }
  Sizes ones;
  for (int64_t axis : axes) {
    if (b.ShapeOf(x)[axis] == graph::Dim(1)) ones.push_back(axis);
  }
  if (ones.empty()) return {Item::Tensor(x)};
  return {b.Result("Squeeze", {x, b.Ints(ones)})};
}

Items Unsqueeze(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const int64_t axis = a.Int(1);
  return {b.Result("Unsqueeze",
                   {x, b.Ints({axis < 0 ? axis + b.RankOf(x) + 1 : axis})})};
}

Items Permute(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  Sizes perm = a.Ints(1);
  for (int64_t& axis : perm) axis = b.AxisOf(x, axis);
  return {b.Result("Transpose", {x}, {{"perm", perm}})};
}

Items Swap(Builder& b, ValueId x, int64_t i, int64_t j) {
  Sizes perm(b.RankOf(x));
  std::iota(perm.begin(), perm.end(), 0);
  std::swap(perm.at(b.AxisOf(x, i)), perm.at(b.AxisOf(x, j)));
  return {b.Result("Transpose", {x}, {{"perm", perm}})};
}

Items Transpose(Builder& b, const Arguments& a) {
  return Swap(b, b.TensorOf(a[0]), a.Int(1), a.Int(2));
}

Items MatrixTranspose(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  if (b.RankOf(x) < 2) return {Item::Tensor(x)};
  return Swap(b, x, -2, -1);
}

// -1 keeps a size; sizes in front are new.
Items ExpandTo(Builder& b, ValueId x, const Items& wanted) {
  Items sizes;
  for (const Item& size : wanted) {
    const bool keeps = Known(size) && size.value.toInt() == -1;
    sizes.push_back(keeps ? Item::Concrete(int64_t{1}) : size);
  }
  return {b.Result("Expand", {x, b.SizesInput(sizes)})};
}

Items Expand(Builder& b, const Arguments& a) {
  return ExpandTo(b, b.TensorOf(a[0]), a.List(1));
}

Items ExpandAs(Builder& b, const Arguments& a) {
  const ValueId like = b.TensorOf(a[1]);
  Items sizes;
  for (int64_t i = 0; i < b.RankOf(like); ++i) {
    sizes.push_back(b.SizeOf(like, i));
  }
  return ExpandTo(b, b.TensorOf(a[0]), sizes);
}

Items Repeat(Builder& b, const Arguments& a) {
  ValueId x = b.TensorOf(a[0]);
  const Items repeats = a.List(1);
  const int64_t more = static_cast<int64_t>(repeats.size()) - b.RankOf(x);
  if (more > 0) {
    Sizes axes(more);
    std::iota(axes.begin(), axes.end(), 0);
    x = b.Op("Unsqueeze", {x, b.Ints(axes)});
  }
  return {b.Result("Tile", {x, b.SizesInput(repeats)})};
}

Items Cat(Builder& b, const Arguments& a) {
  std::vector<ValueId> inputs;
  for (const Item& item : a.List(0)) {
    const ValueId id = b.TensorOf(item);
    // PyTorch lets empty vectors through.
    if (b.ShapeOf(id) == graph::Shape{graph::Dim(0)}) continue;
    inputs.push_back(id);
  }
  if (inputs.empty()) Fail("SHAPE_MISMATCH", "cat of no tensor");
  return {
      b.Result("Concat", inputs, {{"axis", b.AxisOf(inputs[0], a.Int(1))}})};
}

Items Stack(Builder& b, const Arguments& a) {
  std::vector<ValueId> inputs;
  int64_t axis = a.Int(1);
  for (const Item& item : a.List(0)) {
    const ValueId id = b.TensorOf(item);
    if (axis < 0) axis += b.RankOf(id) + 1;
    inputs.push_back(b.Op("Unsqueeze", {id, b.Ints({axis})}));
  }
  return {b.Result("Concat", inputs, {{"axis", axis}})};
}

Item SliceAxis(Builder& b, ValueId x, int64_t axis, const Item& from,
               const Item& to, int64_t step = 1) {
  auto bound = [&](const Item& item) {
    return Known(item) ? b.Ints({item.value.toInt()})
                       : b.Op("Unsqueeze", {item.id, b.Ints({0})});
  };
  return b.Result("Slice",
                  {x, bound(from), bound(to), b.Ints({axis}), b.Ints({step})});
}

Item SliceAxis(Builder& b, ValueId x, int64_t axis, int64_t from, int64_t to) {
  return SliceAxis(b, x, axis, Item::Concrete(from), Item::Concrete(to));
}

// slice(x, axis, start, end, step)
Items Slice(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const Item from = a.IsNone(2) ? Item::Concrete(int64_t{0}) : a[2];
  const Item to = a.IsNone(3) ? Item::Concrete(kEnd) : a[3];
  const int64_t step = a.Int(4);
  const bool whole = Known(from) && from.value.toInt() == 0 && Known(to) &&
                     to.value.toInt() == kEnd && step == 1;
  if (whole) return {Item::Tensor(x)};
  return {SliceAxis(b, x, b.AxisOf(x, a.Int(1)), from, to, step)};
}

Items Narrow(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  return {
      SliceAxis(b, x, b.AxisOf(x, a.Int(1)), a.Int(2), a.Int(2) + a.Int(3))};
}

Items Select(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  return {b.Result("Gather", {x, b.TensorOf(a[2])},
                   {{"axis", b.AxisOf(x, a.Int(1))}})};
}

// Parts of known sizes along an axis, as a list.
Items SplitInto(Builder& b, ValueId x, int64_t axis, const Sizes& sizes) {
  const auto ids = b.Node("Split", {x, b.Ints(sizes)},
                          static_cast<int>(sizes.size()), {{"axis", axis}});
  Items parts;
  for (ValueId id : ids) parts.push_back(Item::Tensor(id));
  return {Item::List(std::move(parts))};
}

int64_t KnownSize(Builder& b, ValueId x, int64_t axis) {
  const graph::Dim& dim = b.ShapeOf(x)[axis];
  if (!dim.known()) {
    Fail("UNKNOWN_INPUT_SHAPE", "a split along a size that is not known");
  }
  return dim.value;
}

Items SplitBy(Builder& b, ValueId x, int64_t axis, int64_t each) {
  Sizes sizes;
  for (int64_t left = KnownSize(b, x, axis); left > 0; left -= each) {
    sizes.push_back(std::min(left, each));
  }
  return SplitInto(b, x, axis, sizes);
}

Items Chunk(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const int64_t axis = b.AxisOf(x, a.Int(2)), parts = a.Int(1);
  return SplitBy(b, x, axis, (KnownSize(b, x, axis) + parts - 1) / parts);
}

Items Split(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const int64_t axis = b.AxisOf(x, a.Int(2));
  const bool one = a[1].kind == Item::Kind::kConcrete && a[1].value.isInt();
  return one ? SplitBy(b, x, axis, a.Int(1)) : SplitInto(b, x, axis, a.Ints(1));
}

Items Unbind(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const int64_t axis = b.AxisOf(x, a.Int(1));
  Items parts;
  for (int64_t i = 0; i < KnownSize(b, x, axis); ++i) {
    parts.push_back(b.Result("Gather", {x, b.IntScalar(i)}, {{"axis", axis}}));
  }
  return {Item::List(std::move(parts))};
}

// roll(x, shifts, axes)
Items Roll(Builder& b, const Arguments& a) {
  ValueId x = b.TensorOf(a[0]);
  const Sizes shifts = a.Ints(1), axes = a.Ints(2);
  if (axes.size() != shifts.size()) {
    Fail("UNSUPPORTED_OPERATOR", "roll of the flattened tensor");
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t axis = b.AxisOf(x, axes[i]);
    const Item tail = SliceAxis(b, x, axis, -shifts[i], kEnd);
    const Item head = SliceAxis(b, x, axis, 0, -shifts[i]);
    if (shifts[i] != 0) {
      x = b.Op("Concat", {tail.id, head.id}, {{"axis", axis}});
    }
  }
  return {Item::Tensor(x)};
}

Items Flip(Builder& b, const Arguments& a) {
  ValueId x = b.TensorOf(a[0]);
  for (int64_t axis : a.Ints(1)) {
    x = SliceAxis(b, x, b.AxisOf(x, axis), Item::Concrete(int64_t{-1}),
                  Item::Concrete(std::numeric_limits<int64_t>::min() + 1), -1)
            .id;
  }
  return {Item::Tensor(x)};
}

// x[indices] with one index tensor: along its axis.
Items Index(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const Items indices = a.List(1);
  int64_t axis = -1;
  for (size_t i = 0; i < indices.size(); ++i) {
    if (indices[i].IsNone()) continue;
    if (axis >= 0) Fail("UNSUPPORTED_OPERATOR", "indexing by several tensors");
    axis = static_cast<int64_t>(i);
  }
  if (axis < 0) return {Item::Tensor(x)};
  const ValueId index = b.TensorOf(indices[axis]);
  if (b.DTypeOf(index) == DType::kBool) {
    Fail("UNSUPPORTED_OPERATOR", "indexing by a mask");
  }
  return {b.Result("Gather", {x, index}, {{"axis", axis}})};
}

Items IndexSelect(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  return {b.Result("Gather", {x, b.TensorOf(a[2])},
                   {{"axis", b.AxisOf(x, a.Int(1))}})};
}

Items Gather(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  return {b.Result("GatherElements", {x, b.TensorOf(a[2])},
                   {{"axis", b.AxisOf(x, a.Int(1))}})};
}

// topk(x, k, axis, largest, sorted)
Items TopK(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const auto ids = b.Node("TopK", {x, b.Ints({a.Int(1)})}, 2,
                          {{"axis", b.AxisOf(x, a.Int(2))},
                           {"largest", int64_t{a.Bool(3) ? 1 : 0}}});
  return {Item::Tensor(ids[0]), Item::Tensor(ids[1])};
}

Items CumSum(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  return {b.Result("CumSum", {x, b.IntScalar(b.AxisOf(x, a.Int(1)))})};
}

Handler Triangle(bool upper) {
  return [upper](Builder& b, const Arguments& a) {
    return Items{b.Result("Trilu", {b.TensorOf(a[0]), b.IntScalar(a.Int(1))},
                          {{"upper", int64_t{upper ? 1 : 0}}})};
  };
}

// Pads of the last axes, last axis first, as all beginnings and all ends.
Items PadWith(Builder& b, ValueId x, const Sizes& pads, const std::string& mode,
              double value) {
  const int64_t rank = b.RankOf(x);
  Sizes full(2 * rank, 0);
  for (size_t i = 0; i + 1 < pads.size(); i += 2) {
    const int64_t axis = rank - 1 - static_cast<int64_t>(i / 2);
    full.at(axis) = pads[i];
    full.at(axis + rank) = pads[i + 1];
  }
  const bool constant = mode == "constant";
  const char* onnx = constant              ? "constant"
                     : mode == "reflect"   ? "reflect"
                     : mode == "replicate" ? "edge"
                                           : "wrap";
  return {b.Result(
      "Pad", {x, b.Ints(full), constant ? b.ScalarLike(value, x) : kNoValue},
      {{"mode", std::string(onnx)}})};
}

// pad(x, pads, mode, value)
Items Pad(Builder& b, const Arguments& a) {
  return PadWith(b, b.TensorOf(a[0]), a.Ints(1), a.String(2),
                 a.IsNone(3) ? 0 : a.Double(3));
}

Items ConstantPad(Builder& b, const Arguments& a) {
  return PadWith(b, b.TensorOf(a[0]), a.Ints(1), "constant",
                 a.size() > 2 ? a.Double(2) : 0);
}

Handler PadMode(const char* mode) {
  return [mode](Builder& b, const Arguments& a) {
    return PadWith(b, b.TensorOf(a[0]), a.Ints(1), mode, 0);
  };
}

Items PixelShuffle(Builder& b, const Arguments& a) {
  return {b.Result("DepthToSpace", {b.TensorOf(a[0])},
                   {{"blocksize", a.Int(1)}, {"mode", std::string("CRD")}})};
}

}  // namespace

void AddShapeHandlers(HandlerTable* table) {
  HandlerTable& t = *table;
  t["aten::_reshape_alias"] = View;
  t["aten::_unsafe_view"] = View;
  t["aten::cat"] = Cat;
  t["aten::chunk"] = Chunk;
  t["aten::constant_pad_nd"] = ConstantPad;
  t["aten::cumsum"] = CumSum;
  t["aten::expand"] = Expand;
  t["aten::expand_as"] = ExpandAs;
  t["aten::flatten"] = Flatten;
  t["aten::flip"] = Flip;
  t["aten::gather"] = Gather;
  t["aten::index"] = Index;
  t["aten::index_select"] = IndexSelect;
  t["aten::narrow"] = Narrow;
  t["aten::pad"] = Pad;
  t["aten::permute"] = Permute;
  t["aten::pixel_shuffle"] = PixelShuffle;
  t["aten::reflection_pad1d"] = PadMode("reflect");
  t["aten::reflection_pad2d"] = PadMode("reflect");
  t["aten::repeat"] = Repeat;
  t["aten::replication_pad2d"] = PadMode("replicate");
  t["aten::reshape"] = View;
  t["aten::roll"] = Roll;
  t["aten::select"] = Select;
  t["aten::slice"] = Slice;
  t["aten::split"] = Split;
  t["aten::split_with_sizes"] = Split;
  t["aten::squeeze"] = Squeeze;
  t["aten::stack"] = Stack;
  t["aten::swapaxes"] = Transpose;
  t["aten::t"] = MatrixTranspose;
  t["aten::topk"] = TopK;
  t["aten::transpose"] = Transpose;
  t["aten::tril"] = Triangle(false);
  t["aten::triu"] = Triangle(true);
  t["aten::unbind"] = Unbind;
  t["aten::unflatten"] = Unflatten;
  t["aten::unsqueeze"] = Unsqueeze;
  t["aten::view"] = View;
}

}  // namespace condense::torchscript_import
