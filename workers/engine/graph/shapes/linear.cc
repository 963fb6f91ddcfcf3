#include <algorithm>

#include "common/status_macros.h"
#include "workers/engine/graph/shapes/rules.h"
#include "workers/engine/graph/window.h"

namespace condense::graph {
namespace {

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

// As QLinearConv and ConvInteger have them: the weight is input `at`.
absl::Status IntegerConv(const Context& c, size_t at, DType dtype) {
  Node plain = c.node;
  plain.inputs = {c.node.input(0), c.node.input(at)};
  CONDENSE_RETURN_IF_ERROR(Conv(Context{c.graph, plain}));
  c.Set(0, dtype, std::nullopt);
  return absl::OkStatus();
}

absl::Status ConvInteger(const Context& c) {
  return IntegerConv(c, 1, DType::kInt32);
}

absl::Status QLinearConv(const Context& c) {
  return IntegerConv(c, 3, c.DTypeAt(7));
}

absl::Status MatMulInteger(const Context& c) {
  CONDENSE_RETURN_IF_ERROR(MatMul(c));
  c.Set(0, DType::kInt32, std::nullopt);
  return absl::OkStatus();
}

absl::Status QLinearMatMul(const Context& c) {
  Node plain = c.node;
  plain.inputs = {c.node.input(0), c.node.input(3)};
  CONDENSE_RETURN_IF_ERROR(MatMul(Context{c.graph, plain}));
  c.Set(0, c.DTypeAt(7), std::nullopt);
  return absl::OkStatus();
}

absl::Status MaxUnpool(const Context& c) {
  const MaybeShape x = c.ShapeOf(0);
  if (!x || x->size() < 3) return absl::OkStatus();
  const auto wanted = c.IntsAt(2);
  if (wanted) {
    c.Set(0, c.DTypeAt(0), Shape(wanted->begin(), wanted->end()));
  } else {
    Shape out(x->size());
    out[0] = (*x)[0];
    out[1] = (*x)[1];
    c.Set(0, c.DTypeAt(0), out);
  }
  return absl::OkStatus();
}

absl::Status Det(const Context& c) {
  MaybeShape x = c.ShapeOf(0);
  if (!x) return absl::OkStatus();
  if (x->size() < 2) return c.Mismatch("the input is no matrix");
  x->resize(x->size() - 2);
  c.Set(0, c.DTypeAt(0), x);
  return absl::OkStatus();
}

// Explicit and implicit equations; an ellipsis leaves the shape unknown.
absl::Status Einsum(const Context& c) {
  std::string equation = c.node.String("equation", "");
  equation.erase(std::remove(equation.begin(), equation.end(), ' '),
                 equation.end());
  if (equation.find('.') != std::string::npos) return absl::OkStatus();
  const size_t arrow = equation.find("->");
  std::map<char, Dim> sizes;
  std::map<char, int> counts;
  size_t term = 0, axis = 0;
  for (size_t i = 0; i < std::min(arrow, equation.size()); ++i) {
    if (equation[i] == ',') {
      ++term;
      axis = 0;
      continue;
    }
    const MaybeShape x = c.ShapeOf(term);
    if (!x) return absl::OkStatus();
    if (axis >= x->size()) return c.Mismatch("the equation has more axes");
    ++counts[equation[i]];
    sizes[equation[i]] = (*x)[axis++];
  }
  std::string letters;
  if (arrow != std::string::npos) {
    letters = equation.substr(arrow + 2);
  } else {
    for (const auto& [letter, count] : counts) {
      if (count == 1) letters += letter;
    }
  }
  Shape out;
  for (char letter : letters) out.push_back(sizes[letter]);
  c.Set(0, c.DTypeAt(0), out);
  return absl::OkStatus();
}

}  // namespace

void AddLinearRules(RuleTable* table) {
  (*table)["ConvInteger"] = ConvInteger;
  (*table)["Det"] = Det;
  (*table)["Einsum"] = Einsum;
  (*table)["GlobalLpPool"] = GlobalPool;
  (*table)["MatMulInteger"] = MatMulInteger;
  (*table)["MaxUnpool"] = MaxUnpool;
  (*table)["QLinearConv"] = QLinearConv;
  (*table)["QLinearMatMul"] = QLinearMatMul;
  (*table)["Conv"] = Conv;
  (*table)["ConvTranspose"] = ConvTranspose;
  for (const char* op : {"MaxPool", "AveragePool", "LpPool"}) {
    (*table)[op] = Pool;
  }
  (*table)["GlobalAveragePool"] = GlobalPool;
  (*table)["GlobalMaxPool"] = GlobalPool;
  (*table)["Gemm"] = Gemm;
  (*table)["MatMul"] = MatMul;
}

}  // namespace condense::graph
