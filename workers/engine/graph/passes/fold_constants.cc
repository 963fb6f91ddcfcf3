#include "workers/engine/graph/passes/fold_constants.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace condense::graph {
namespace {

// An integer tensor some elements of which may be unknown.
struct Partial {
  std::vector<int64_t> dims;
  std::vector<std::optional<int64_t>> values;

  bool Complete() const {
    return std::all_of(values.begin(), values.end(),
                       [](const auto& v) { return v.has_value(); });
  }
};

// Bounds what is worth folding: shapes, pads and the like.
constexpr int64_t kElementsMax = 1024;

// Evaluates one node over what is known so far.
class Evaluator {
 public:
  Evaluator(const Graph& graph, const std::map<ValueId, Partial>& known)
      : graph_(graph), known_(known) {}

  std::optional<Partial> Run(const Node& node) const {
    if (!node.domain.empty()) return std::nullopt;
    if (node.op == "Shape") return ShapeOf(node);
    if (node.op == "ConstantOfShape") return Filled(node);
    auto x = At(node.input(0));
    if (!x) return std::nullopt;
    if (node.op == "Gather") return Gather(node, *x);
    if (node.op == "Slice") return Slice(node, *x);
    if (node.op == "Concat") return Concat(node);
    if (node.op == "Cast") return Cast(node, std::move(*x));
    if (node.op == "Squeeze" || node.op == "Unsqueeze" ||
        node.op == "Reshape" || node.op == "Identity") {
      return Reshaped(node, std::move(*x));
    }
    if (node.op == "Transpose") return Transpose(node, *x);
    if (node.op == "Where") return Where(node, *x);
    if (node.op == "Range") return Range(node, *x);
    if (node.op == "Neg" || node.op == "Not" || node.op == "Abs") {
      for (auto& v : x->values) {
        if (!v) continue;
        if (node.op == "Not") {
          v = *v == 0;
        } else if (node.op == "Neg" || *v < 0) {
          v = Negated(*v);
        }
      }
      return x;
    }
    if (IsPairwise(node.op)) return Arithmetic(node, *x);
    return std::nullopt;
  }

 private:
  std::optional<Partial> At(ValueId id) const {
    if (id == kNoValue) return std::nullopt;
    if (auto it = known_.find(id); it != known_.end()) return it->second;
    const Tensor* tensor = graph_.ConstantOf(id);
    if (tensor == nullptr || IsFloating(tensor->dtype()) ||
        tensor->dtype() == DType::kString ||
        tensor->num_elements() > kElementsMax) {
      return std::nullopt;
    }
    Partial partial{tensor->dims(), {}};
    for (int64_t v : tensor->ToInts()) partial.values.push_back(v);
    return partial;
  }

  std::optional<std::vector<int64_t>> CompleteAt(ValueId id) const {
    const auto partial = At(id);
    if (!partial || !partial->Complete()) return std::nullopt;
    std::vector<int64_t> values;
    for (const auto& v : partial->values) values.push_back(*v);
    return values;
  }

  std::optional<Partial> ShapeOf(const Node& node) const {
    const auto& shape = graph_.value(node.inputs[0]).shape;
    if (!shape) return std::nullopt;
    const int64_t rank = static_cast<int64_t>(shape->size());
    auto clamp = [&](int64_t at) {
      return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
    };
    const int64_t from = clamp(node.Int("start", 0));
    const int64_t to = clamp(node.Int("end", rank));
    Partial out;
    for (int64_t i = from; i < to; ++i) {
      const Dim& dim = (*shape)[i];
      out.values.push_back(dim.known() ? std::optional(dim.value)
                                       : std::nullopt);
    }
    out.dims = {static_cast<int64_t>(out.values.size())};
    return out;
  }

  std::optional<Partial> Filled(const Node& node) const {
    const auto dims = CompleteAt(node.input(0));
    if (!dims) return std::nullopt;
    int64_t fill = 0, count = 1;
    if (auto it = node.attrs.find("value"); it != node.attrs.end()) {
      const Tensor* tensor = std::get_if<Tensor>(&it->second);
      if (tensor == nullptr || IsFloating(tensor->dtype()) ||
          tensor->dtype() == DType::kString || tensor->num_elements() != 1) {
        return std::nullopt;
      }
      fill = tensor->ToInts()[0];
    } else {
      return std::nullopt;  // float zeros
    }
    for (int64_t dim : *dims) {
      if (dim < 0 || dim > kElementsMax) return std::nullopt;
      count *= dim;
      if (count > kElementsMax) return std::nullopt;
    }
    return Partial{*dims, std::vector<std::optional<int64_t>>(count, fill)};
  }

  std::optional<Partial> Gather(const Node& node, const Partial& x) const {
    const auto indices = At(node.input(1));
    const auto values = CompleteAt(node.input(1));
    if (!indices || !values || x.dims.size() != 1 || node.Int("axis", 0) != 0) {
      return std::nullopt;
    }
    Partial out{indices->dims, {}};
    for (int64_t index : *values) {
      if (index < 0) index += x.dims[0];
      if (index < 0 || index >= x.dims[0]) return std::nullopt;
      out.values.push_back(x.values[index]);
    }
    return out;
  }

  // Along the first axis, of one or more dimensions.
  std::optional<Partial> Slice(const Node& node, const Partial& x) const {
    const auto starts = CompleteAt(node.input(1)),
               ends = CompleteAt(node.input(2));
    if (!starts || !ends || starts->size() != 1 || x.dims.empty()) {
      return std::nullopt;
    }
    int64_t axis = 0, step = 1;
    if (node.input(3) != kNoValue) {
      const auto axes = CompleteAt(node.input(3));
      if (!axes || axes->size() != 1) return std::nullopt;
      axis = (*axes)[0];
    }
    if (node.input(4) != kNoValue) {
      const auto steps = CompleteAt(node.input(4));
      if (!steps || steps->size() != 1) return std::nullopt;
      step = (*steps)[0];
    }
    const int64_t size = x.dims[0];
    if (axis != 0 || step == 0 || size == 0) return std::nullopt;
    auto wrap = [&](int64_t v) { return v < 0 ? v + size : v; };
    const int64_t from =
        std::clamp<int64_t>(wrap((*starts)[0]), 0, step > 0 ? size : size - 1);
    const int64_t to =
        step > 0 ? std::clamp<int64_t>(wrap((*ends)[0]), 0, size)
                 : std::clamp<int64_t>(wrap((*ends)[0]), -1, size - 1);
    const int64_t inner = static_cast<int64_t>(x.values.size()) / size;
    Partial out{x.dims, {}};
    out.dims[0] = 0;
    for (int64_t i = from; step > 0 ? i < to : i > to; i += step) {
      ++out.dims[0];
      out.values.insert(out.values.end(), x.values.begin() + i * inner,
                        x.values.begin() + (i + 1) * inner);
    }
    return out;
  }

  std::optional<Partial> Concat(const Node& node) const {
    Partial out{{0}, {}};
    for (ValueId id : node.inputs) {
      const auto part = At(id);
      if (!part || part->dims.size() != 1) return std::nullopt;
      out.values.insert(out.values.end(), part->values.begin(),
                        part->values.end());
    }
    out.dims[0] = static_cast<int64_t>(out.values.size());
    return out;
  }

  std::optional<Partial> Cast(const Node& node, Partial x) const {
    const DType to = DTypeFromName(node.String("to", ""));
    if (IsFloating(to) || to == DType::kUndefined) return std::nullopt;
    for (auto& v : x.values) {
      if (v && to == DType::kBool) v = *v != 0;
    }
    return x;
  }

  // The elements stay; the shape is what shape inference says.
  std::optional<Partial> Reshaped(const Node& node, Partial x) const {
    const auto& shape = graph_.value(node.outputs[0]).shape;
    if (!shape) return std::nullopt;
    const auto dims = KnownDims(*shape);
    if (!dims) return std::nullopt;
    x.dims = *dims;
    return x;
  }

  std::optional<Partial> Transpose(const Node& node, const Partial& x) const {
    if (x.dims.size() != 2) return std::nullopt;
    const std::vector<int64_t> perm = node.Ints("perm", {1, 0});
    if (perm == std::vector<int64_t>{0, 1}) return x;
    Partial out{{x.dims[1], x.dims[0]}, {}};
    for (int64_t j = 0; j < x.dims[1]; ++j) {
      for (int64_t i = 0; i < x.dims[0]; ++i) {
        out.values.push_back(x.values[i * x.dims[1] + j]);
      }
    }
    return out;
  }

  static bool IsPairwise(const std::string& op) {
    return op == "Add" || op == "Sub" || op == "Mul" || op == "Div" ||
           op == "Mod" || op == "Min" || op == "Max" || op == "Equal" ||
           op == "Greater" || op == "Less" || op == "GreaterOrEqual" ||
           op == "LessOrEqual" || op == "And" || op == "Or";
  }

  static std::optional<int64_t> Defined(bool overflows, const int64_t& value) {
    return overflows ? std::nullopt : std::optional(value);
  }

  static std::optional<int64_t> Negated(int64_t v) {
    int64_t z = 0;
    return Defined(__builtin_sub_overflow(int64_t{0}, v, &z), z);
  }

  // nullopt where the result is not defined.
  static std::optional<int64_t> Pairwise(const Node& node, int64_t x,
                                         int64_t y) {
    const std::string& op = node.op;
    int64_t z = 0;
    if (op == "Add") return Defined(__builtin_add_overflow(x, y, &z), z);
    if (op == "Sub") return Defined(__builtin_sub_overflow(x, y, &z), z);
    if (op == "Mul") return Defined(__builtin_mul_overflow(x, y, &z), z);
    if (op == "Min") return std::min(x, y);
    if (op == "Max") return std::max(x, y);
    if (op == "Equal") return x == y;
    if (op == "Greater") return x > y;
    if (op == "Less") return x < y;
    if (op == "GreaterOrEqual") return x >= y;
    if (op == "LessOrEqual") return x <= y;
    if (op == "And") return x != 0 && y != 0;
    if (op == "Or") return x != 0 || y != 0;
    if (y == 0 || y == -1) return std::nullopt;
    if (op == "Div") return x / y;
    // The sign is the divisor's, or with fmod the dividend's.
    const int64_t rest = x % y;
    const bool turns =
        node.Int("fmod", 0) == 0 && rest != 0 && (rest < 0) != (y < 0);
    return turns ? rest + y : rest;
  }

  // condition, x, y of equal size, or single elements.
  std::optional<Partial> Where(const Node& node, const Partial& c) const {
    const auto x = At(node.input(1)), y = At(node.input(2));
    if (!x || !y) return std::nullopt;
    const size_t size =
        std::max({c.values.size(), x->values.size(), y->values.size()});
    for (const Partial* p : {&c, &*x, &*y}) {
      if (p->dims.size() > 1 ||
          (p->values.size() != size && p->values.size() != 1)) {
        return std::nullopt;
      }
    }
    Partial out;
    if (std::max({c.dims.size(), x->dims.size(), y->dims.size()}) == 1) {
      out.dims = {static_cast<int64_t>(size)};
    }
    auto at = [](const Partial& p, size_t i) {
      return p.values[p.values.size() == 1 ? 0 : i];
    };
    for (size_t i = 0; i < size; ++i) {
      const auto chosen = at(c, i);
      out.values.push_back(!chosen   ? std::nullopt
                           : *chosen ? at(*x, i)
                                     : at(*y, i));
    }
    return out;
  }

  std::optional<Partial> Range(const Node& node, const Partial& start) const {
    const auto limit = At(node.input(1)), step = At(node.input(2));
    if (!limit || !step || !start.Complete() || !limit->Complete() ||
        !step->Complete() || start.values.size() != 1 ||
        limit->values.size() != 1 || step->values.size() != 1 ||
        *step->values[0] == 0) {
      return std::nullopt;
    }
    Partial out{{0}, {}};
    const int64_t by = *step->values[0], end = *limit->values[0];
    for (int64_t v = *start.values[0]; by > 0 ? v < end : v > end; v += by) {
      if (++out.dims[0] > kElementsMax) return std::nullopt;
      out.values.push_back(v);
    }
    return out;
  }

  std::optional<Partial> Arithmetic(const Node& node, const Partial& a) const {
    const auto b = At(node.input(1));
    if (!b) return std::nullopt;
    const size_t size = std::max(a.values.size(), b->values.size());
    const bool fits = (a.values.size() == size || a.values.size() == 1) &&
                      (b->values.size() == size || b->values.size() == 1);
    if (!fits || std::max(a.dims.size(), b->dims.size()) > 1) {
      return std::nullopt;
    }
    Partial out{a.dims.size() >= b->dims.size() ? a.dims : b->dims, {}};
    if (!out.dims.empty()) out.dims[0] = static_cast<int64_t>(size);
    for (size_t i = 0; i < size; ++i) {
      const auto& x = a.values[a.values.size() == 1 ? 0 : i];
      const auto& y = b->values[b->values.size() == 1 ? 0 : i];
      std::optional<int64_t> z;
      if (x && y) z = Pairwise(node, *x, *y);
      out.values.push_back(z);
    }
    return out;
  }

  const Graph& graph_;
  const std::map<ValueId, Partial>& known_;
};

Tensor ToTensor(const Partial& partial, DType dtype) {
  std::vector<int64_t> values;
  for (const auto& v : partial.values) values.push_back(*v);
  if (dtype == DType::kBool) {
    std::string bytes;
    for (int64_t v : values) bytes.push_back(static_cast<char>(v != 0));
    return Tensor(DType::kBool, partial.dims, std::move(bytes));
  }
  if (dtype == DType::kInt32) {
    std::vector<int32_t> narrow(values.begin(), values.end());
    return Tensor::Of<int32_t>(partial.dims, narrow);
  }
  return Tensor::Of<int64_t>(partial.dims, values);
}

// Sizes of a Reshape of which one element is unknown: -1 says the same.
bool FillReshape(Graph& graph, NodeId id, const Partial& sizes) {
  const auto unknown =
      std::count(sizes.values.begin(), sizes.values.end(), std::nullopt);
  const bool has_infer = std::count(sizes.values.begin(), sizes.values.end(),
                                    std::optional<int64_t>(-1)) > 0;
  // The first element unknown beside a -1: it copies the batch.
  const bool copies_batch =
      has_infer && unknown == 1 && !sizes.values[0].has_value();
  if (unknown != 1 || (has_infer && !copies_batch)) return false;
  // A 0 that is meant as such cannot stand beside one that copies.
  const bool has_zero = std::count(sizes.values.begin(), sizes.values.end(),
                                   std::optional<int64_t>(0)) > 0;
  if (has_zero && graph.node(id).Int("allowzero", 0) != 0) return false;
  graph.mutable_node(id).attrs.erase("allowzero");
  Partial filled = sizes;
  for (auto& value : filled.values) {
    if (!value) value = has_infer ? 0 : -1;
  }
  const ValueId constant =
      graph.AddConstant(graph.value(graph.node(id).inputs[1]).name,
                        ToTensor(filled, DType::kInt64));
  graph.mutable_node(id).inputs[1] = constant;
  return true;
}

}  // namespace

absl::StatusOr<bool> FoldConstants::Run(Graph& graph) const {
  bool changed = false;
  std::map<ValueId, Partial> known;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    const Node& node = graph.node(id);
    if (node.Is("Reshape")) {
      auto it = known.find(node.input(1));
      if (it != known.end() && !it->second.Complete()) {
        changed |= FillReshape(graph, id, it->second);
      }
    }
    const DType dtype = graph.value(node.outputs[0]).dtype;
    if (node.outputs.size() != 1 ||
        (dtype != DType::kInt64 && dtype != DType::kInt32 &&
         dtype != DType::kBool)) {
      continue;
    }
    const auto result = Evaluator(graph, known).Run(node);
    if (!result) continue;
    known[node.outputs[0]] = *result;
    if (!result->Complete() || graph.IsOutput(node.outputs[0])) continue;
    const ValueId constant = graph.AddConstant(
        graph.value(node.outputs[0]).name, ToTensor(*result, dtype));
    graph.ReplaceUses(node.outputs[0], constant);
    graph.RemoveNode(id);
    changed = true;
  }
  if (changed) graph.RemoveDeadValues();
  return changed;
}

}  // namespace condense::graph
