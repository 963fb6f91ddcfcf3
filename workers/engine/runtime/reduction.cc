// Reductions over axes.

#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using torch::Tensor;
using Axes = std::vector<int64_t>;
using Reducer = Tensor (*)(const Tensor&, const Axes&, bool);

KernelMaker Reduce(Reducer reducer) {
  return [reducer](const KernelContext& c) -> absl::StatusOr<Kernel> {
    const Axes attribute = c.node.Ints("axes");
    const IntsInput given = c.Ints(1);
    const bool keep = c.node.Int("keepdims", 1) != 0;
    const bool noop = c.node.Int("noop_with_empty_axes", 0) != 0;
    return Kernel([=](const Call& call) {
      const Tensor& x = call.in[0];
      Axes axes = given.Or(call, attribute);
      if (axes.empty() && !noop) {
        for (int64_t i = 0; i < x.dim(); ++i) axes.push_back(i);
      }
      // Over no axis every element is its own group; a scalar is one too.
      if (axes.empty()) {
        return std::vector<Tensor>{reducer(x.unsqueeze(0), {0}, false)};
      }
      return std::vector<Tensor>{reducer(x, axes, keep)};
    });
  };
}

Tensor Sum(const Tensor& x, const Axes& axes, bool keep) {
  return at::sum(x, axes, keep, x.scalar_type());
}

Tensor Product(const Tensor& x, const Axes& axes, bool keep) {
  Tensor y = x;
  std::vector<bool> over(x.dim(), false);
  for (int64_t axis : axes) over[WrapAxis(axis, x.dim())] = true;
  for (int64_t i = x.dim(); i > 0; --i) {
    if (over[i - 1]) y = at::prod(y, i - 1, keep, x.scalar_type());
  }
  return y;
}

Tensor Mean(const Tensor& x, const Axes& axes, bool keep) {
  if (x.is_floating_point()) return x.mean(axes, keep);
  return at::trunc(x.to(torch::kFloat64).mean(axes, keep)).to(x.scalar_type());
}

Tensor Greatest(const Tensor& x, const Axes& axes, bool keep) {
  for (int64_t axis : axes) {
    if (x.size(axis) == 0) {
      return Sum(x, axes, keep).fill_(-std::numeric_limits<float>::infinity());
    }
  }
  return x.amax(axes, keep);
}

Tensor Least(const Tensor& x, const Axes& axes, bool keep) {
  for (int64_t axis : axes) {
    if (x.size(axis) == 0) {
      return Sum(x, axes, keep).fill_(std::numeric_limits<float>::infinity());
    }
  }
  return x.amin(axes, keep);
}

KernelMaker Arg(bool largest) {
  return [largest](const KernelContext& c) -> absl::StatusOr<Kernel> {
    const int64_t axis = c.node.Int("axis", 0);
    const bool keep = c.node.Int("keepdims", 1) != 0;
    const bool last = c.node.Int("select_last_index", 0) != 0;
    return Kernel([=](const Call& call) {
      const Tensor x = last ? at::flip(call.in[0], axis) : call.in[0];
      Tensor at =
          largest ? at::argmax(x, axis, keep) : at::argmin(x, axis, keep);
      if (last) at = x.size(axis) - 1 - at;
      return std::vector<Tensor>{at};
    });
  };
}

}  // namespace

void AddReductionKernels(KernelTable* table) {
  (*table)["ReduceMean"] = Reduce(Mean);
  (*table)["ReduceSum"] = Reduce(Sum);
  (*table)["ReduceMax"] = Reduce(Greatest);
  (*table)["ReduceMin"] = Reduce(Least);
  (*table)["ReduceProd"] = Reduce(Product);
  (*table)["ReduceL1"] = Reduce([](const Tensor& x, const Axes& a, bool keep) {
    return Sum(at::abs(x), a, keep);
  });
  (*table)["ReduceL2"] = Reduce([](const Tensor& x, const Axes& a, bool keep) {
    return at::sqrt(Sum(x * x, a, keep)).to(x.scalar_type());
  });
  (*table)["ReduceSumSquare"] =
      Reduce([](const Tensor& x, const Axes& a, bool keep) {
        return Sum(x * x, a, keep);
      });
  (*table)["ReduceLogSum"] =
      Reduce([](const Tensor& x, const Axes& a, bool keep) {
        return at::log(Sum(x, a, keep)).to(x.scalar_type());
      });
  (*table)["ReduceLogSumExp"] =
      Reduce([](const Tensor& x, const Axes& a, bool keep) {
        const Tensor wide = x.is_floating_point() ? x : x.to(torch::kFloat64);
        return at::logsumexp(wide, a, keep).to(x.scalar_type());
      });
  (*table)["ArgMax"] = Arg(true);
  (*table)["ArgMin"] = Arg(false);
}

}  // namespace condense::runtime
