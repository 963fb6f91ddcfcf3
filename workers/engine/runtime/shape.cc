// Operators that move elements around.

#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using torch::Tensor;

absl::Status NeedsConstant(const KernelContext& c, const char* what) {
  return MakeError(absl::StatusCode::kUnimplemented, "DYNAMIC_SHAPE",
                   absl::StrCat(c.node.op, " needs constant ", what));
}

absl::StatusOr<Kernel> Flatten(const KernelContext& c) {
  const int64_t axis = c.node.Int("axis", 1);
  return Kernel([axis](const Call& call) {
    const Tensor& x = call.in[0];
    const int64_t at = axis < 0 ? axis + x.dim() : axis;
    int64_t rows = 1;
    for (int64_t i = 0; i < at; ++i) rows *= x.size(i);
    return std::vector<Tensor>{
        x.reshape({rows, x.numel() / std::max<int64_t>(rows, 1)})};
  });
}

absl::StatusOr<Kernel> Reshape(const KernelContext& c) {
  CONDENSE_ASSIGN_OR_RETURN(auto sizes, c.Ints(1));
  if (!sizes) return NeedsConstant(c, "sizes");
  const bool allow_zero = c.node.Int("allowzero", 0) != 0;
  return Kernel([sizes = *sizes, allow_zero](const Call& call) {
    std::vector<int64_t> shape = sizes;
    for (size_t i = 0; i < shape.size() && !allow_zero; ++i) {
      if (shape[i] == 0) shape[i] = call.in[0].size(i);
    }
    return std::vector<Tensor>{call.in[0].reshape(shape)};
  });
}

absl::StatusOr<Kernel> Transpose(const KernelContext& c) {
  const std::vector<int64_t> perm = c.node.Ints("perm");
  return Kernel([perm](const Call& call) {
    std::vector<int64_t> order = perm;
    if (order.empty()) {
      for (int64_t i = call.in[0].dim(); i > 0; --i) order.push_back(i - 1);
    }
    return std::vector<Tensor>{call.in[0].permute(order)};
  });
}

absl::StatusOr<Kernel> Concat(const KernelContext& c) {
  const int64_t axis = c.node.Int("axis", 0);
  return Kernel([axis](const Call& call) {
    return std::vector<Tensor>{at::cat(call.in, axis)};
  });
}

absl::StatusOr<Kernel> Split(const KernelContext& c) {
  CONDENSE_ASSIGN_OR_RETURN(auto sizes, c.Ints(1));
  const int64_t axis = c.node.Int("axis", 0);
  const int64_t parts = static_cast<int64_t>(c.node.outputs.size());
  return Kernel([sizes, axis, parts](const Call& call) {
    const Tensor& x = call.in[0];
    if (sizes) return at::split_with_sizes(x, *sizes, axis);
    return at::split(x, (x.size(axis) + parts - 1) / parts, axis);
  });
}

absl::StatusOr<Kernel> Slice(const KernelContext& c) {
  CONDENSE_ASSIGN_OR_RETURN(auto starts, c.Ints(1));
  CONDENSE_ASSIGN_OR_RETURN(auto ends, c.Ints(2));
  CONDENSE_ASSIGN_OR_RETURN(auto axes, c.Ints(3));
  CONDENSE_ASSIGN_OR_RETURN(auto steps, c.Ints(4));
  if (!starts || !ends) return NeedsConstant(c, "starts and ends");
  return Kernel([=](const Call& call) {
    Tensor x = call.in[0];
    for (size_t i = 0; i < starts->size(); ++i) {
      const int64_t axis = axes ? (*axes)[i] : static_cast<int64_t>(i);
      const int64_t step = steps ? (*steps)[i] : 1;
      if (step > 0) {
        x = at::slice(x, axis, (*starts)[i], (*ends)[i], step);
        continue;
      }
      const int64_t size = x.size(axis);
      auto wrap = [&](int64_t v) { return v < 0 ? v + size : v; };
      const int64_t from = std::clamp<int64_t>(wrap((*starts)[i]), 0, size - 1);
      const int64_t to = std::clamp<int64_t>(wrap((*ends)[i]), -1, size - 1);
      x = at::index_select(
          x, axis,
          at::arange(from, to, step,
                     torch::TensorOptions(torch::kLong).device(x.device())));
    }
    return std::vector<Tensor>{x};
  });
}

absl::StatusOr<Kernel> Gather(const KernelContext& c) {
  const int64_t axis = c.node.Int("axis", 0);
  return Kernel([axis](const Call& call) {
    const Tensor& x = call.in[0];
    Tensor indices = call.in[1].to(torch::kLong);
    const int64_t at = axis < 0 ? axis + x.dim() : axis;
    indices = at::where(indices < 0, indices + x.size(at), indices);
    std::vector<int64_t> shape(x.sizes().begin(), x.sizes().begin() + at);
    shape.insert(shape.end(), indices.sizes().begin(), indices.sizes().end());
    shape.insert(shape.end(), x.sizes().begin() + at + 1, x.sizes().end());
    return std::vector<Tensor>{
        at::index_select(x, at, indices.flatten()).reshape(shape)};
  });
}

absl::StatusOr<Kernel> Squeeze(const KernelContext& c) {
  CONDENSE_ASSIGN_OR_RETURN(auto axes, c.Ints(1));
  return Kernel([axes](const Call& call) {
    const Tensor& x = call.in[0];
    if (!axes) return std::vector<Tensor>{x.squeeze()};
    std::vector<int64_t> shape = x.sizes().vec(), sorted = *axes;
    for (int64_t& axis : sorted) axis = axis < 0 ? axis + x.dim() : axis;
    std::sort(sorted.rbegin(), sorted.rend());
    for (int64_t axis : sorted) shape.erase(shape.begin() + axis);
    return std::vector<Tensor>{x.reshape(shape)};
  });
}

absl::StatusOr<Kernel> Unsqueeze(const KernelContext& c) {
  CONDENSE_ASSIGN_OR_RETURN(auto axes, c.Ints(1));
  if (!axes) return NeedsConstant(c, "axes");
  return Kernel([axes = *axes](const Call& call) {
    const Tensor& x = call.in[0];
    const int64_t rank = x.dim() + static_cast<int64_t>(axes.size());
    std::vector<int64_t> sorted = axes, shape = x.sizes().vec();
    for (int64_t& axis : sorted) axis = axis < 0 ? axis + rank : axis;
    std::sort(sorted.begin(), sorted.end());
    for (int64_t axis : sorted) shape.insert(shape.begin() + axis, 1);
    return std::vector<Tensor>{x.reshape(shape)};
  });
}

absl::StatusOr<Kernel> Pad(const KernelContext& c) {
  CONDENSE_ASSIGN_OR_RETURN(auto pads, c.Ints(1));
  CONDENSE_ASSIGN_OR_RETURN(auto value, c.Floats(2));
  if (!pads) return NeedsConstant(c, "pads");
  const std::string mode = c.node.String("mode", "constant");
  if (mode != "constant") {
    return MakeError(absl::StatusCode::kUnimplemented, "NO_KERNEL",
                     absl::StrCat("Pad in mode ", mode));
  }
  std::vector<int64_t> order;
  const size_t rank = pads->size() / 2;
  for (size_t i = rank; i > 0; --i) {
    order.push_back((*pads)[i - 1]);
    order.push_back((*pads)[rank + i - 1]);
  }
  const double fill = value && !value->empty() ? (*value)[0] : 0;
  return Kernel([order, fill](const Call& call) {
    return std::vector<Tensor>{at::constant_pad_nd(call.in[0], order, fill)};
  });
}

absl::StatusOr<Kernel> Expand(const KernelContext& c) {
  CONDENSE_ASSIGN_OR_RETURN(auto sizes, c.Ints(1));
  if (!sizes) return NeedsConstant(c, "sizes");
  return Kernel([sizes = *sizes](const Call& call) {
    const Tensor ones = at::ones(sizes, call.in[0].options());
    return std::vector<Tensor>{at::broadcast_tensors({call.in[0], ones})[0]};
  });
}

absl::StatusOr<Kernel> ShapeOf(const KernelContext&) {
  return Kernel([](const Call& call) {
    return std::vector<Tensor>{
        torch::tensor(call.in[0].sizes().vec(), torch::kInt64)};
  });
}

absl::StatusOr<Kernel> Resize(const KernelContext& c) {
  const std::string mode = c.node.String("mode", "nearest");
  const std::string transform =
      c.node.String("coordinate_transformation_mode", "half_pixel");
  const bool linear = mode == "linear" && (transform == "half_pixel" ||
                                           transform == "pytorch_half_pixel" ||
                                           transform == "align_corners");
  const bool nearest = mode == "nearest" && transform == "asymmetric" &&
                       c.node.String("nearest_mode", "") == "floor";
  const auto& shape = c.graph.value(c.node.outputs[0]).shape;
  if ((!linear && !nearest) || !shape || shape->size() != 4 ||
      !(*shape)[2].known() || !(*shape)[3].known()) {
    return MakeError(absl::StatusCode::kUnimplemented, "NO_KERNEL",
                     absl::StrCat("Resize in mode ", mode, ", ", transform));
  }
  const std::vector<int64_t> size = {(*shape)[2].value, (*shape)[3].value};
  const bool corners = transform == "align_corners";
  return Kernel([=](const Call& call) {
    if (linear) {
      return std::vector<Tensor>{
          at::upsample_bilinear2d(call.in[0], size, corners)};
    }
    return std::vector<Tensor>{at::upsample_nearest2d(call.in[0], size)};
  });
}

}  // namespace

void AddShapeKernels(KernelTable* table) {
  (*table)["Flatten"] = Flatten;
  (*table)["Reshape"] = Reshape;
  (*table)["Transpose"] = Transpose;
  (*table)["Concat"] = Concat;
  (*table)["Split"] = Split;
  (*table)["Slice"] = Slice;
  (*table)["Gather"] = Gather;
  (*table)["Squeeze"] = Squeeze;
  (*table)["Unsqueeze"] = Unsqueeze;
  (*table)["Pad"] = Pad;
  (*table)["Expand"] = Expand;
  (*table)["Shape"] = ShapeOf;
  (*table)["Resize"] = Resize;
}

}  // namespace condense::runtime
