#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "workers/engine/evaluation/kernels.h"
#include "workers/engine/graph/window.h"

namespace condense::evaluation {
namespace {

using graph::Graph;
using graph::Node;
using Inputs = std::vector<const Activation*>;

struct Context {
  const Graph& graph;
  const Node& node;
  const Inputs& in;

  std::vector<int64_t> Ints(size_t i) const {
    const graph::Tensor* tensor = graph.ConstantOf(node.input(i));
    return tensor == nullptr ? std::vector<int64_t>() : tensor->ToInts();
  }
  double Scalar(size_t i, double fallback) const {
    const graph::Tensor* tensor = graph.ConstantOf(node.input(i));
    return tensor == nullptr || tensor->num_elements() == 0
               ? fallback
               : tensor->ToFloats()[0];
  }
};

using Kernel = std::function<absl::StatusOr<Activation>(const Context&)>;

Activation Map(const Activation& x, const std::function<float(float)>& f) {
  Activation y;
  y.dims = x.dims;
  y.values.reserve(x.values.size());
  for (float v : x.values) y.values.push_back(f(v));
  return y;
}

// Row-major strides of `dims` broadcast to `rank` dimensions: 0 where 1.
std::vector<int64_t> BroadcastStrides(const std::vector<int64_t>& dims,
                                      size_t rank) {
  std::vector<int64_t> strides(rank, 0);
  int64_t stride = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    const size_t at = dims.size() - 1 - i;
    if (dims[at] != 1) strides[rank - 1 - i] = stride;
    stride *= dims[at];
  }
  return strides;
}

Activation Binary(const Activation& a, const Activation& b,
                  const std::function<float(float, float)>& f) {
  const size_t rank = std::max(a.dims.size(), b.dims.size());
  Activation y;
  y.dims.assign(rank, 1);
  for (const auto* x : {&a, &b}) {
    for (size_t i = 0; i < x->dims.size(); ++i) {
      int64_t& dim = y.dims[rank - x->dims.size() + i];
      dim = std::max(dim, x->dims[i]);
    }
  }
  const auto sa = BroadcastStrides(a.dims, rank);
  const auto sb = BroadcastStrides(b.dims, rank);
  y.values.resize(y.size());
  std::vector<int64_t> at(rank, 0);
  int64_t ia = 0, ib = 0;
  for (float& out : y.values) {
    out = f(a.values[ia], b.values[ib]);
    for (size_t d = rank; d-- > 0;) {
      ia += sa[d];
      ib += sb[d];
      if (++at[d] < y.dims[d]) break;
      ia -= sa[d] * y.dims[d];
      ib -= sb[d] * y.dims[d];
      at[d] = 0;
    }
  }
  return y;
}

absl::StatusOr<Activation> Pool(const Context& c, bool average) {
  const Activation& x = *c.in[0];
  const int64_t spatial[] = {x.dims[2], x.dims[3]};
  const graph::Window w = graph::WindowOf(c.node, {}, spatial);
  const bool count_pads = c.node.Int("count_include_pad", 0) != 0;
  Activation y;
  y.dims = {x.dims[0], x.dims[1], w.OutputSize(0, x.dims[2]),
            w.OutputSize(1, x.dims[3])};
  for (int64_t plane = 0; plane < x.dims[0] * x.dims[1]; ++plane) {
    const float* in = x.values.data() + plane * x.dims[2] * x.dims[3];
    for (int64_t oy = 0; oy < y.dims[2]; ++oy) {
      for (int64_t ox = 0; ox < y.dims[3]; ++ox) {
        double sum = 0, count = 0;
        float most = -std::numeric_limits<float>::infinity();
        for (int64_t ky = 0; ky < w.kernel[0]; ++ky) {
          for (int64_t kx = 0; kx < w.kernel[1]; ++kx) {
            const int64_t iy =
                oy * w.strides[0] - w.pads_begin[0] + ky * w.dilations[0];
            const int64_t ix =
                ox * w.strides[1] - w.pads_begin[1] + kx * w.dilations[1];
            if (iy < 0 || ix < 0 || iy >= x.dims[2] || ix >= x.dims[3])
              continue;
            const float v = in[iy * x.dims[3] + ix];
            sum += v;
            ++count;
            most = std::max(most, v);
          }
        }
        if (count_pads) count = static_cast<double>(w.kernel[0] * w.kernel[1]);
        y.values.push_back(average ? static_cast<float>(sum / count) : most);
      }
    }
  }
  return y;
}

absl::StatusOr<Activation> GlobalAveragePool(const Context& c) {
  const Activation& x = *c.in[0];
  Activation y;
  y.dims = x.dims;
  int64_t area = 1;
  for (size_t i = 2; i < x.dims.size(); ++i) {
    area *= x.dims[i];
    y.dims[i] = 1;
  }
  for (size_t at = 0; at < x.values.size(); at += area) {
    double sum = 0;
    for (int64_t i = 0; i < area; ++i) sum += x.values[at + i];
    y.values.push_back(static_cast<float>(sum / area));
  }
  return y;
}

// New dims, same elements; the engine's shapes with the batch filled in.
absl::StatusOr<Activation> SameElements(const Context& c) {
  const auto& shape = c.graph.value(c.node.outputs[0]).shape;
  Activation y = *c.in[0];
  const int64_t size = y.size();
  if (!shape) return absl::InternalError("a shape is not known");
  y.dims.clear();
  int64_t known = 1;
  int unknown = -1;
  for (const graph::Dim& dim : *shape) {
    if (!dim.known()) unknown = static_cast<int>(y.dims.size());
    if (dim.known()) known *= dim.value;
    y.dims.push_back(dim.known() ? dim.value : 1);
  }
  if (unknown >= 0) y.dims[unknown] = size / known;
  return y;
}

absl::StatusOr<Activation> Transpose(const Context& c) {
  const Activation& x = *c.in[0];
  std::vector<int64_t> perm = c.node.Ints("perm");
  if (perm.empty()) {
    for (size_t i = x.dims.size(); i > 0; --i) perm.push_back(i - 1);
  }
  std::vector<int64_t> strides(x.dims.size(), 1);
  for (size_t i = x.dims.size() - 1; i > 0; --i) {
    strides[i - 1] = strides[i] * x.dims[i];
  }
  Activation y;
  for (int64_t p : perm) y.dims.push_back(x.dims[p]);
  y.values.resize(x.values.size());
  std::vector<int64_t> at(perm.size(), 0);
  for (float& out : y.values) {
    int64_t from = 0;
    for (size_t d = 0; d < perm.size(); ++d) from += at[d] * strides[perm[d]];
    out = x.values[from];
    for (size_t d = perm.size(); d-- > 0;) {
      if (++at[d] < y.dims[d]) break;
      at[d] = 0;
    }
  }
  return y;
}

absl::StatusOr<Activation> Concat(const Context& c) {
  Activation y;
  y.dims = c.in[0]->dims;
  int64_t axis = c.node.Int("axis", 0);
  if (axis < 0) axis += static_cast<int64_t>(y.dims.size());
  int64_t outer = 1;
  for (int64_t i = 0; i < axis; ++i) outer *= y.dims[i];
  y.dims[axis] = 0;
  for (const Activation* x : c.in) y.dims[axis] += x->dims[axis];
  for (int64_t o = 0; o < outer; ++o) {
    for (const Activation* x : c.in) {
      const int64_t chunk = x->size() / outer;
      y.values.insert(y.values.end(), x->values.begin() + o * chunk,
                      x->values.begin() + (o + 1) * chunk);
    }
  }
  return y;
}

// Picks elements along each axis: first index, step, count; -1: fill.
absl::StatusOr<Activation> Pick(const Activation& x,
                                const std::vector<std::vector<int64_t>>& index,
                                float fill) {
  Activation y;
  for (const auto& axis : index) y.dims.push_back(axis.size());
  y.values.resize(y.size());
  std::vector<int64_t> at(index.size(), 0);
  for (float& out : y.values) {
    int64_t from = 0;
    bool inside = true;
    for (size_t d = 0; d < index.size(); ++d) {
      const int64_t i = index[d][at[d]];
      inside &= i >= 0;
      from = from * x.dims[d] + i;
    }
    out = inside ? x.values[from] : fill;
    for (size_t d = index.size(); d-- > 0;) {
      if (++at[d] < y.dims[d]) break;
      at[d] = 0;
    }
  }
  return y;
}

absl::StatusOr<Activation> Slice(const Context& c) {
  const Activation& x = *c.in[0];
  const auto starts = c.Ints(1), ends = c.Ints(2), axes = c.Ints(3),
             steps = c.Ints(4);
  std::vector<std::vector<int64_t>> index(x.dims.size());
  for (size_t d = 0; d < x.dims.size(); ++d) {
    for (int64_t i = 0; i < x.dims[d]; ++i) index[d].push_back(i);
  }
  for (size_t i = 0; i < starts.size(); ++i) {
    int64_t axis = axes.empty() ? static_cast<int64_t>(i) : axes[i];
    if (axis < 0) axis += static_cast<int64_t>(x.dims.size());
    const int64_t size = x.dims[axis], step = steps.empty() ? 1 : steps[i];
    auto wrap = [&](int64_t v) { return v < 0 ? v + size : v; };
    index[axis].clear();
    const int64_t from =
        std::clamp<int64_t>(wrap(starts[i]), 0, step > 0 ? size : size - 1);
    const int64_t to = std::clamp<int64_t>(wrap(ends[i]), step > 0 ? 0 : -1,
                                           step > 0 ? size : size - 1);
    for (int64_t at = from; step > 0 ? at < to : at > to; at += step) {
      index[axis].push_back(at);
    }
  }
  return Pick(x, index, 0);
}

absl::StatusOr<Activation> Pad(const Context& c) {
  const Activation& x = *c.in[0];
  const auto pads = c.Ints(1);
  std::vector<std::vector<int64_t>> index(x.dims.size());
  for (size_t d = 0; d < x.dims.size(); ++d) {
    const int64_t size = x.dims[d] + pads[d] + pads[d + x.dims.size()];
    for (int64_t i = 0; i < size; ++i) {
      const int64_t from = i - pads[d];
      index[d].push_back(from >= 0 && from < x.dims[d] ? from : -1);
    }
  }
  return Pick(x, index, static_cast<float>(c.Scalar(2, 0)));
}

absl::StatusOr<Activation> Softmax(const Context& c) {
  Activation y = *c.in[0];
  const int64_t size = y.dims.back();
  for (size_t at = 0; at < y.values.size(); at += size) {
    const auto begin = y.values.begin() + at, end = begin + size;
    const float most = *std::max_element(begin, end);
    double sum = 0;
    for (auto it = begin; it != end; ++it) sum += (*it = std::exp(*it - most));
    for (auto it = begin; it != end; ++it) *it = static_cast<float>(*it / sum);
  }
  return y;
}

absl::StatusOr<Activation> BatchNorm(const Context& c) {
  const Activation& x = *c.in[0];
  std::vector<float> p[4];
  for (size_t i = 0; i < 4; ++i) {
    p[i] = c.graph.ConstantOf(c.node.input(i + 1))->ToFloats();
  }
  const double epsilon = c.node.Float("epsilon", 1e-5f);
  Activation y = x;
  const int64_t channels = x.dims[1];
  const int64_t area = x.size() / (x.dims[0] * channels);
  for (size_t i = 0; i < y.values.size(); ++i) {
    const int64_t ch = static_cast<int64_t>(i) / area % channels;
    y.values[i] = static_cast<float>((x.values[i] - p[2][ch]) * p[0][ch] /
                                         std::sqrt(p[3][ch] + epsilon) +
                                     p[1][ch]);
  }
  return y;
}

const std::map<std::string, Kernel>& Kernels() {
  static const auto& kernels = *new std::map<std::string, Kernel>{
      {"Relu",
       [](const Context& c) {
         return Map(*c.in[0], [](float v) { return std::max(v, 0.0f); });
       }},
      {"Sigmoid",
       [](const Context& c) {
         return Map(*c.in[0], [](float v) { return 1 / (1 + std::exp(-v)); });
       }},
      {"Swish",
       [](const Context& c) {
         const float alpha = c.node.Float("alpha", 1);
         return Map(*c.in[0],
                    [=](float v) { return v / (1 + std::exp(-alpha * v)); });
       }},
      {"Tanh",
       [](const Context& c) {
         return Map(*c.in[0], [](float v) { return std::tanh(v); });
       }},
      {"Identity", [](const Context& c) { return *c.in[0]; }},
      {"Clip",
       [](const Context& c) {
         const float low = static_cast<float>(
             c.Scalar(1, -std::numeric_limits<float>::infinity()));
         const float high = static_cast<float>(
             c.Scalar(2, std::numeric_limits<float>::infinity()));
         return Map(*c.in[0],
                    [=](float v) { return std::min(std::max(v, low), high); });
       }},
      {"Add",
       [](const Context& c) {
         return Binary(*c.in[0], *c.in[1],
                       [](float a, float b) { return a + b; });
       }},
      {"Sub",
       [](const Context& c) {
         return Binary(*c.in[0], *c.in[1],
                       [](float a, float b) { return a - b; });
       }},
      {"Mul",
       [](const Context& c) {
         return Binary(*c.in[0], *c.in[1],
                       [](float a, float b) { return a * b; });
       }},
      {"Div",
       [](const Context& c) {
         return Binary(*c.in[0], *c.in[1],
                       [](float a, float b) { return a / b; });
       }},
      {"MaxPool", [](const Context& c) { return Pool(c, false); }},
      {"AveragePool", [](const Context& c) { return Pool(c, true); }},
      {"GlobalAveragePool", GlobalAveragePool},
      {"Flatten", SameElements},
      {"Reshape", SameElements},
      {"Squeeze", SameElements},
      {"Unsqueeze", SameElements},
      {"Transpose", Transpose},
      {"Concat", Concat},
      {"Slice", Slice},
      {"Pad", Pad},
      {"Softmax", Softmax},
      {"BatchNormalization", BatchNorm}};
  return kernels;
}

}  // namespace

bool HasFloatKernel(const Graph& graph, const Node& node) {
  if (!node.domain.empty() || Kernels().count(node.op) == 0) return false;
  const graph::Value& y = graph.value(node.outputs[0]);
  if (y.dtype != graph::DType::kUndefined && !graph::IsFloating(y.dtype)) {
    return false;
  }
  const bool moves = node.op == "Reshape" || node.op == "Flatten" ||
                     node.op == "Squeeze" || node.op == "Unsqueeze";
  if (moves) {
    if (!y.shape) return false;
    return std::count_if(y.shape->begin(), y.shape->end(),
                         [](const graph::Dim& dim) { return !dim.known(); }) <=
           1;
  }
  if (node.op != "Slice" && node.op != "Pad") return true;
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    if (node.inputs[i] != graph::kNoValue &&
        !graph.IsConstant(node.inputs[i])) {
      return false;
    }
  }
  return true;
}

absl::StatusOr<Activation> RunFloat(const Graph& graph, const Node& node,
                                    const Inputs& inputs) {
  return Kernels().at(node.op)(Context{graph, node, inputs});
}

}  // namespace condense::evaluation
