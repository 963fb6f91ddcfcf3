// Operators that give the elements another shape or order.

#include <algorithm>
#include <numeric>

#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using torch::Tensor;
using Sizes = std::vector<int64_t>;

absl::StatusOr<Kernel> Flatten(const KernelContext& c) {
  const int64_t axis = c.node.Int("axis", 1);
  return Kernel([axis](const Call& call) {
    const Tensor& x = call.in[0];
    const int64_t at = WrapAxis(axis, x.dim());
    int64_t rows = 1;
    for (int64_t i = 0; i < at; ++i) rows *= x.size(i);
    return std::vector<Tensor>{
        x.reshape({rows, x.numel() / std::max<int64_t>(rows, 1)})};
  });
}

absl::StatusOr<Kernel> Reshape(const KernelContext& c) {
  const IntsInput sizes = c.Ints(1);
  if (!sizes.given()) return c.Unsupported("without sizes");
  const bool allow_zero = c.node.Int("allowzero", 0) != 0;
  return Kernel([sizes, allow_zero](const Call& call) {
    Sizes shape = sizes(call);
    for (size_t i = 0; i < shape.size() && !allow_zero; ++i) {
      if (shape[i] == 0) shape[i] = call.in[0].size(i);
    }
    return std::vector<Tensor>{call.in[0].reshape(shape)};
  });
}

absl::StatusOr<Kernel> Transpose(const KernelContext& c) {
  const Sizes perm = c.node.Ints("perm");
  return Kernel([perm](const Call& call) {
    Sizes order = perm;
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
  const IntsInput sizes = c.Ints(1);
  const int64_t axis = c.node.Int("axis", 0);
  const int64_t parts =
      c.node.Int("num_outputs", static_cast<int64_t>(c.node.outputs.size()));
  return Kernel([sizes, axis, parts](const Call& call) {
    const Tensor& x = call.in[0];
    if (sizes.given()) return at::split_with_sizes(x, sizes(call), axis);
    return at::split(x, (x.size(axis) + parts - 1) / parts, axis);
  });
}

absl::StatusOr<Kernel> Squeeze(const KernelContext& c) {
  const IntsInput axes = c.Ints(1);
  return Kernel([axes](const Call& call) {
    const Tensor& x = call.in[0];
    if (!axes.given()) return std::vector<Tensor>{x.squeeze()};
    Sizes shape = x.sizes().vec(), sorted = axes(call);
    for (int64_t& axis : sorted) axis = WrapAxis(axis, x.dim());
    std::sort(sorted.rbegin(), sorted.rend());
    for (int64_t axis : sorted) {
      TORCH_CHECK(shape.at(axis) == 1, "Squeeze of a dimension of size ",
                  shape[axis]);
      shape.erase(shape.begin() + axis);
    }
    return std::vector<Tensor>{x.reshape(shape)};
  });
}

absl::StatusOr<Kernel> Unsqueeze(const KernelContext& c) {
  const IntsInput axes = c.Ints(1);
  if (!axes.given()) return c.Unsupported("without axes");
  return Kernel([axes](const Call& call) {
    const Tensor& x = call.in[0];
    Sizes sorted = axes(call), shape = x.sizes().vec();
    const int64_t rank = x.dim() + static_cast<int64_t>(sorted.size());
    for (int64_t& axis : sorted) axis = WrapAxis(axis, rank);
    std::sort(sorted.begin(), sorted.end());
    for (int64_t axis : sorted) {
      TORCH_CHECK(axis >= 0 && axis <= static_cast<int64_t>(shape.size()),
                  "Unsqueeze at axis ", axis);
      shape.insert(shape.begin() + axis, 1);
    }
    return std::vector<Tensor>{x.reshape(shape)};
  });
}

absl::StatusOr<Kernel> Expand(const KernelContext& c) {
  const IntsInput sizes = c.Ints(1);
  return Kernel([sizes](const Call& call) {
    const Sizes wanted = sizes(call);
    const Sizes shape = at::infer_size(call.in[0].sizes(), wanted);
    return std::vector<Tensor>{call.in[0].expand(shape)};
  });
}

absl::StatusOr<Kernel> Tile(const KernelContext& c) {
  const IntsInput repeats = c.Ints(1);
  return Kernel([repeats](const Call& call) {
    return std::vector<Tensor>{call.in[0].repeat(repeats(call))};
  });
}

absl::StatusOr<Kernel> ShapeOf(const KernelContext& c) {
  const int64_t start = c.node.Int("start", 0);
  const int64_t end = c.node.Int("end", std::numeric_limits<int64_t>::max());
  return Kernel([start, end](const Call& call) {
    const Sizes sizes = call.in[0].sizes().vec();
    const int64_t rank = static_cast<int64_t>(sizes.size());
    const int64_t from = std::clamp<int64_t>(WrapAxis(start, rank), 0, rank);
    const int64_t to = std::clamp<int64_t>(WrapAxis(end, rank), from, rank);
    return std::vector<Tensor>{torch::tensor(
        Sizes(sizes.begin() + from, sizes.begin() + to), torch::kInt64)};
  });
}

absl::StatusOr<Kernel> SizeOf(const KernelContext&) {
  return Kernel([](const Call& call) {
    return std::vector<Tensor>{
        torch::tensor(call.in[0].numel(), torch::kInt64)};
  });
}

absl::StatusOr<Kernel> DepthToSpace(const KernelContext& c) {
  const int64_t block = c.node.Int("blocksize", 1);
  const bool crd = c.node.String("mode", "DCR") == "CRD";
  return Kernel([block, crd](const Call& call) {
    const Tensor& x = call.in[0];
    const int64_t n = x.size(0), depth = x.size(1) / (block * block),
                  h = x.size(2), w = x.size(3);
    const Tensor y = crd ? x.reshape({n, depth, block, block, h, w})
                               .permute({0, 1, 4, 2, 5, 3})
                         : x.reshape({n, block, block, depth, h, w})
                               .permute({0, 3, 4, 1, 5, 2});
    return std::vector<Tensor>{y.reshape({n, depth, h * block, w * block})};
  });
}

absl::StatusOr<Kernel> SpaceToDepth(const KernelContext& c) {
  const int64_t block = c.node.Int("blocksize", 1);
  return Kernel([block](const Call& call) {
    const Tensor& x = call.in[0];
    const int64_t n = x.size(0), depth = x.size(1), h = x.size(2) / block,
                  w = x.size(3) / block;
    return std::vector<Tensor>{x.reshape({n, depth, h, block, w, block})
                                   .permute({0, 3, 5, 1, 2, 4})
                                   .reshape({n, depth * block * block, h, w})};
  });
}

// Where each element of one padded axis comes from.
Tensor PadIndex(int64_t size, int64_t before, int64_t after,
                const std::string& mode) {
  Sizes index;
  for (int64_t i = -before; i < size + after; ++i) {
    int64_t at = i;
    if (mode == "reflect" && size > 1) {
      const int64_t period = 2 * (size - 1);
      at = ((i % period) + period) % period;
      if (at >= size) at = period - at;
    } else if (mode == "wrap") {
      at = ((i % size) + size) % size;
    } else {
      at = std::clamp<int64_t>(i, 0, size - 1);
    }
    index.push_back(at);
  }
  return torch::tensor(index, torch::kInt64);
}

// pads per axis of x, whatever axes the node names.
Sizes FullPads(const Sizes& pads, const std::optional<Sizes>& axes,
               int64_t rank) {
  if (!axes) return pads;
  Sizes full(2 * rank, 0);
  const size_t count = axes->size();
  for (size_t i = 0; i < count; ++i) {
    const int64_t axis = WrapAxis((*axes)[i], rank);
    full.at(axis) = pads.at(i);
    full.at(axis + rank) = pads.at(i + count);
  }
  return full;
}

absl::StatusOr<Kernel> Pad(const KernelContext& c) {
  const IntsInput pads_input = c.Ints(1), axes = c.Ints(3);
  const std::string mode = c.node.String("mode", "constant");
  return Kernel([=](const Call& call) {
    Tensor x = call.in[0];
    const int64_t rank = x.dim();
    const Sizes pads = FullPads(
        pads_input(call),
        axes.given() ? std::optional<Sizes>(axes(call)) : std::nullopt, rank);
    TORCH_CHECK(static_cast<int64_t>(pads.size()) == 2 * rank,
                "Pad: pads and input differ in rank");
    if (mode == "constant") {
      Sizes order;
      for (int64_t i = rank; i > 0; --i) {
        order.push_back(pads[i - 1]);
        order.push_back(pads[rank + i - 1]);
      }
      const at::Scalar fill =
          call.Has(2) && call.in[2].numel() > 0 ? call.in[2].item() : 0;
      return std::vector<Tensor>{at::constant_pad_nd(x, order, fill)};
    }
    for (int64_t i = 0; i < rank; ++i) {
      if (pads[i] == 0 && pads[rank + i] == 0) continue;
      x = at::index_select(
          x, i,
          PadIndex(x.size(i), pads[i], pads[rank + i], mode).to(x.device()));
    }
    return std::vector<Tensor>{x};
  });
}

absl::StatusOr<Kernel> CenterCropPad(const KernelContext& c) {
  const IntsInput sizes_input = c.Ints(1);
  const Sizes given_axes = c.node.Ints("axes");
  return Kernel([=](const Call& call) {
    Tensor x = call.in[0];
    const Sizes sizes = sizes_input(call);
    Sizes axes = given_axes;
    if (axes.empty()) {
      axes.resize(sizes.size());
      std::iota(axes.begin(), axes.end(), 0);
    }
    for (size_t i = 0; i < axes.size(); ++i) {
      const int64_t axis = WrapAxis(axes[i], x.dim());
      const int64_t more = sizes[i] - x.size(axis);
      if (more < 0) {
        const int64_t from = -more / 2;
        x = at::slice(x, axis, from, from + sizes[i]);
      } else if (more > 0) {
        Sizes pads(2 * (x.dim() - axis), 0);
        pads[pads.size() - 2] = more / 2;
        pads[pads.size() - 1] = more - more / 2;
        x = at::constant_pad_nd(x, pads, 0);
      }
    }
    return std::vector<Tensor>{x};
  });
}

}  // namespace

void AddShapeKernels(KernelTable* table) {
  (*table)["CenterCropPad"] = CenterCropPad;
  (*table)["Concat"] = Concat;
  (*table)["DepthToSpace"] = DepthToSpace;
  (*table)["Expand"] = Expand;
  (*table)["Flatten"] = Flatten;
  (*table)["Pad"] = Pad;
  (*table)["Reshape"] = Reshape;
  (*table)["Shape"] = ShapeOf;
  (*table)["Size"] = SizeOf;
  (*table)["SpaceToDepth"] = SpaceToDepth;
  (*table)["Split"] = Split;
  (*table)["Squeeze"] = Squeeze;
  (*table)["Tile"] = Tile;
  (*table)["Transpose"] = Transpose;
  (*table)["Unsqueeze"] = Unsqueeze;
}

}  // namespace condense::runtime
