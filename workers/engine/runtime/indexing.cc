// Operators that pick, place or make elements by index.

#include <algorithm>

#include "workers/engine/runtime/dtype.h"
#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using torch::Tensor;
using Sizes = std::vector<int64_t>;

// Indices as int64, negative ones counted from the end.
Tensor WrapIndices(const Tensor& indices, int64_t size) {
  const Tensor wide = indices.to(torch::kInt64);
  return at::where(wide < 0, wide + size, wide);
}

// Elements from `start` to before `end` along one axis, by ONNX's rules: both
// clamp, negative ones count from the end.
Tensor SliceAxis(const Tensor& x, int64_t axis, int64_t start, int64_t end,
                 int64_t step) {
  const int64_t size = x.size(axis);
  TORCH_CHECK(step != 0, "Slice with a step of 0");
  if (step > 0) return at::slice(x, axis, start, end, step);
  auto wrap = [&](int64_t v) { return v < 0 ? v + size : v; };
  const int64_t from = std::clamp<int64_t>(wrap(start), -1, size - 1);
  const int64_t to = std::clamp<int64_t>(wrap(end), -1, size - 1);
  const auto options = torch::TensorOptions(torch::kInt64).device(x.device());
  return at::index_select(x, axis,
                          from > to ? at::arange(from, to, step, options)
                                    : at::empty({0}, options));
}

absl::StatusOr<Kernel> Slice(const KernelContext& c) {
  const IntsInput starts = c.Ints(1), ends = c.Ints(2), axes = c.Ints(3),
                  steps = c.Ints(4);
  if (!starts.given() || !ends.given()) {
    return c.Unsupported("without starts and ends");
  }
  return Kernel([=](const Call& call) {
    Tensor x = call.in[0];
    const Sizes from = starts(call), to = ends(call);
    const Sizes where = axes.Or(call, {}), step = steps.Or(call, {});
    for (size_t i = 0; i < from.size(); ++i) {
      const int64_t axis = where.empty() ? static_cast<int64_t>(i) : where[i];
      x = SliceAxis(x, WrapAxis(axis, x.dim()), from[i], to.at(i),
                    step.empty() ? 1 : step[i]);
    }
    return std::vector<Tensor>{x};
  });
}

absl::StatusOr<Kernel> Gather(const KernelContext& c) {
  const int64_t axis = c.node.Int("axis", 0);
  return Kernel([axis](const Call& call) {
    const Tensor& x = call.in[0];
    const int64_t at = WrapAxis(axis, x.dim());
    const Tensor indices = WrapIndices(call.in[1], x.size(at));
    Sizes shape(x.sizes().begin(), x.sizes().begin() + at);
    shape.insert(shape.end(), indices.sizes().begin(), indices.sizes().end());
    shape.insert(shape.end(), x.sizes().begin() + at + 1, x.sizes().end());
    return std::vector<Tensor>{
        at::index_select(x, at, indices.flatten()).reshape(shape)};
  });
}

absl::StatusOr<Kernel> GatherElements(const KernelContext& c) {
  const int64_t axis = c.node.Int("axis", 0);
  return Kernel([axis](const Call& call) {
    const int64_t at = WrapAxis(axis, call.in[0].dim());
    return std::vector<Tensor>{at::gather(
        call.in[0], at, WrapIndices(call.in[1], call.in[0].size(at)))};
  });
}

// Row numbers into the first `depth` dimensions after `skip` batch dimensions,
// flattened; the last dimension of indices holds the coordinates.
Tensor FlatRows(const Tensor& x, const Tensor& indices, int64_t skip) {
  const int64_t depth = indices.size(-1);
  Tensor rows =
      at::zeros(Sizes(indices.sizes().begin(), indices.sizes().end() - 1),
                indices.options().dtype(torch::kInt64));
  for (int64_t i = 0; i < depth; ++i) {
    const int64_t size = x.size(skip + i);
    rows = rows * size + WrapIndices(indices.select(-1, i), size);
  }
  return rows;
}

absl::StatusOr<Kernel> GatherND(const KernelContext& c) {
  const int64_t batch_dims = c.node.Int("batch_dims", 0);
  return Kernel([batch_dims](const Call& call) {
    const Tensor &x = call.in[0], &indices = call.in[1];
    const int64_t depth = indices.size(-1);
    Sizes shape(indices.sizes().begin(), indices.sizes().end() - 1);
    shape.insert(shape.end(), x.sizes().begin() + batch_dims + depth,
                 x.sizes().end());
    int64_t batch = 1, rows = 1, inner = 1;
    for (int64_t i = 0; i < batch_dims; ++i) batch *= x.size(i);
    for (int64_t i = 0; i < depth; ++i) rows *= x.size(batch_dims + i);
    for (int64_t i = batch_dims + depth; i < x.dim(); ++i) inner *= x.size(i);
    Tensor flat = FlatRows(x, indices, batch_dims).reshape({batch, -1});
    flat = flat + at::arange(batch, flat.options()).reshape({-1, 1}) * rows;
    return std::vector<Tensor>{
        at::index_select(x.reshape({batch * rows, inner}), 0, flat.flatten())
            .reshape(shape)};
  });
}

Tensor Accumulate(const Tensor& x, int64_t axis, const Tensor& indices,
                  const Tensor& updates, const std::string& reduction) {
  if (reduction == "none") return at::scatter(x, axis, indices, updates);
  if (reduction == "add") return at::scatter_add(x, axis, indices, updates);
  const char* names[][2] = {{"mul", "prod"}, {"max", "amax"}, {"min", "amin"}};
  for (const auto& [ours, theirs] : names) {
    if (reduction == ours) {
      return at::scatter_reduce(x, axis, indices, updates, theirs);
    }
  }
  TORCH_CHECK(false, "no reduction '", reduction, "'");
}

absl::StatusOr<Kernel> ScatterElements(const KernelContext& c) {
  const int64_t axis = c.node.Int("axis", 0);
  const std::string reduction = c.node.String("reduction", "none");
  return Kernel([axis, reduction](const Call& call) {
    const int64_t at = WrapAxis(axis, call.in[0].dim());
    return std::vector<Tensor>{
        Accumulate(call.in[0], at, WrapIndices(call.in[1], call.in[0].size(at)),
                   call.in[2], reduction)};
  });
}

absl::StatusOr<Kernel> ScatterND(const KernelContext& c) {
  const std::string reduction = c.node.String("reduction", "none");
  return Kernel([reduction](const Call& call) {
    const Tensor& x = call.in[0];
    const int64_t depth = call.in[1].size(-1);
    int64_t rows = 1, inner = 1;
    for (int64_t i = 0; i < depth; ++i) rows *= x.size(i);
    for (int64_t i = depth; i < x.dim(); ++i) inner *= x.size(i);
    const Tensor flat = FlatRows(x, call.in[1], 0).reshape({-1, 1});
    return std::vector<Tensor>{
        Accumulate(x.reshape({rows, inner}), 0,
                   flat.expand({flat.size(0), inner}),
                   call.in[2].reshape({flat.size(0), inner}), reduction)
            .reshape(x.sizes())};
  });
}

absl::StatusOr<Kernel> OneHot(const KernelContext& c) {
  const int64_t axis = c.node.Int("axis", -1);
  return Kernel([axis](const Call& call) {
    const int64_t depth = IntsOf(call.in[1]).at(0);
    const Tensor& values = call.in[2];
    const int64_t at = WrapAxis(axis, call.in[0].dim() + 1);
    const Tensor indices =
        at::unsqueeze(WrapIndices(call.in[0].to(torch::kInt64), depth), at);
    Sizes shape(call.in[0].dim() + 1, 1);
    shape[at] = depth;
    const Tensor hot =
        indices == at::arange(depth, indices.options()).reshape(shape);
    return std::vector<Tensor>{at::where(hot, values[1], values[0])};
  });
}

absl::StatusOr<Kernel> TopK(const KernelContext& c) {
  const int64_t axis = c.node.Int("axis", -1);
  const bool largest = c.node.Int("largest", 1) != 0;
  const IntsInput k = c.Ints(1);
  return Kernel([=](const Call& call) {
    // A stable sort: of equal elements the one with the lower index is first.
    const auto [values, indices] =
        at::sort(call.in[0], /*stable=*/true, axis, largest);
    const int64_t count = k(call).at(0);
    return std::vector<Tensor>{at::slice(values, axis, 0, count),
                               at::slice(indices, axis, 0, count)};
  });
}

absl::StatusOr<Kernel> NonZero(const KernelContext&) {
  return Kernel([](const Call& call) {
    return std::vector<Tensor>{at::nonzero(call.in[0]).t()};
  });
}

absl::StatusOr<Kernel> Compress(const KernelContext& c) {
  const bool flat = !c.node.Has("axis");
  const int64_t axis = c.node.Int("axis", 0);
  return Kernel([=](const Call& call) {
    const Tensor x = flat ? call.in[0].flatten() : call.in[0];
    const Tensor picked = at::nonzero(call.in[1]).flatten();
    return std::vector<Tensor>{at::index_select(x, flat ? 0 : axis, picked)};
  });
}

absl::StatusOr<Kernel> Trilu(const KernelContext& c) {
  const bool upper = c.node.Int("upper", 1) != 0;
  const IntsInput diagonal = c.Ints(1);
  return Kernel([=](const Call& call) {
    const int64_t k = diagonal.Or(call, {0}).at(0);
    return std::vector<Tensor>{upper ? at::triu(call.in[0], k)
                                     : at::tril(call.in[0], k)};
  });
}

absl::StatusOr<Kernel> ReverseSequence(const KernelContext& c) {
  const int64_t batch_axis = c.node.Int("batch_axis", 1);
  const int64_t time_axis = c.node.Int("time_axis", 0);
  return Kernel([=](const Call& call) {
    const Tensor& x = call.in[0];
    const int64_t steps = x.size(time_axis);
    const Tensor lengths =
        call.in[1].to(torch::kInt64).reshape({1, x.size(batch_axis)});
    const Tensor time = at::arange(steps, lengths.options()).reshape({-1, 1});
    Tensor index = at::where(time < lengths, lengths - 1 - time, time);
    if (batch_axis < time_axis) index = index.t();
    Sizes shape(x.dim(), 1);
    shape[time_axis] = steps;
    shape[batch_axis] = x.size(batch_axis);
    return std::vector<Tensor>{
        at::gather(x, time_axis, index.reshape(shape).expand(x.sizes()))};
  });
}

absl::StatusOr<Kernel> Range(const KernelContext&) {
  return Kernel([](const Call& call) {
    const Tensor& start = call.in[0];
    return std::vector<Tensor>{at::arange(start.item(), call.in[1].item(),
                                          call.in[2].item(), start.options())};
  });
}

absl::StatusOr<Kernel> EyeLike(const KernelContext& c) {
  const int64_t k = c.node.Int("k", 0);
  const graph::DType dtype = graph::DTypeFromName(c.node.String("dtype", ""));
  return Kernel([=](const Call& call) {
    const Tensor& x = call.in[0];
    const Tensor rows = at::arange(x.size(0), torch::kInt64).reshape({-1, 1});
    const Tensor columns = at::arange(x.size(1), torch::kInt64);
    const Tensor eye = (columns - rows == k).to(x.device());
    return std::vector<Tensor>{
        eye.to(ScalarTypeOf(dtype).value_or(x.scalar_type()))};
  });
}

absl::StatusOr<Kernel> ConstantOfShape(const KernelContext& c) {
  graph::Tensor fill = graph::Tensor::Scalar<float>(0);
  if (auto it = c.node.attrs.find("value"); it != c.node.attrs.end()) {
    if (const auto* tensor = std::get_if<graph::Tensor>(&it->second)) {
      fill = *tensor;
    }
  }
  const auto type = ScalarTypeOf(fill.dtype());
  if (!type || fill.num_elements() != 1) return c.Unsupported("of that value");
  const at::Scalar value = graph::IsFloating(fill.dtype())
                               ? at::Scalar(fill.ToFloats()[0])
                               : at::Scalar(fill.ToInts()[0]);
  const IntsInput sizes = c.Ints(0);
  const torch::Device device(c.device);
  return Kernel([=](const Call& call) {
    return std::vector<Tensor>{at::full(
        sizes(call), value, torch::TensorOptions(*type).device(device))};
  });
}

// Unique elements (or slices along the axis) with first indices, inverse and
// counts; sorted, or in order of appearance.
absl::StatusOr<Kernel> Unique(const KernelContext& c) {
  const bool sorted = c.node.Int("sorted", 1) != 0;
  const bool flat = !c.node.Has("axis");
  const int64_t given_axis = c.node.Int("axis", 0);
  return Kernel([=](const Call& call) {
    const Tensor x = flat ? call.in[0].flatten() : call.in[0];
    const int64_t axis = flat ? 0 : WrapAxis(given_axis, x.dim());
    auto [values, inverse, counts] =
        at::unique_dim(x, axis, /*sorted=*/true, true, true);
    const int64_t count = values.size(axis);
    Tensor first = at::full({count}, x.size(axis), inverse.options());
    first = at::scatter_reduce(
        first, 0, inverse, at::arange(x.size(axis), inverse.options()), "amin");
    if (!sorted) {
      const Tensor order = at::argsort(first);
      const Tensor rank = at::argsort(order);
      values = at::index_select(values, axis, order);
      counts = counts.index_select(0, order);
      first = first.index_select(0, order);
      inverse = rank.index_select(0, inverse);
    }
    return std::vector<Tensor>{values, first, inverse, counts};
  });
}

}  // namespace

void AddIndexingKernels(KernelTable* table) {
  (*table)["Compress"] = Compress;
  (*table)["ConstantOfShape"] = ConstantOfShape;
  (*table)["EyeLike"] = EyeLike;
  (*table)["Gather"] = Gather;
  (*table)["GatherElements"] = GatherElements;
  (*table)["GatherND"] = GatherND;
  (*table)["NonZero"] = NonZero;
  (*table)["OneHot"] = OneHot;
  (*table)["Range"] = Range;
  (*table)["ReverseSequence"] = ReverseSequence;
  (*table)["ScatterElements"] = ScatterElements;
  (*table)["ScatterND"] = ScatterND;
  (*table)["Slice"] = Slice;
  (*table)["TopK"] = TopK;
  (*table)["Trilu"] = Trilu;
  (*table)["Unique"] = Unique;
}

}  // namespace condense::runtime
