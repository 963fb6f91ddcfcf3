#include "workers/engine/graph/verify_node.h"

#include <cmath>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/graph/arity.h"
#include "workers/engine/graph/infer_shapes.h"

namespace condense::graph {
namespace {

using Body = std::shared_ptr<const Graph>;

template <typename T, size_t kAt = 0>
constexpr size_t KindOf() {
  if constexpr (std::is_same_v<std::variant_alternative_t<kAt, Attribute>, T>) {
    return kAt;
  } else {
    return KindOf<T, kAt + 1>();
  }
}
constexpr size_t kInt = KindOf<int64_t>(),
                 kInts = KindOf<std::vector<int64_t>>(),
                 kString = KindOf<std::string>(), kGraph = KindOf<Body>();
constexpr const char* kKindNames[] = {
    "an integer",         "a float",          "a string",          "a tensor",
    "a list of integers", "a list of floats", "a list of strings", "a graph"};

// Attributes without a default (ONNX, opset 17).
struct Need {
  const char* operators;
  const char* attributes;
  size_t kind;
};
constexpr Need kNeeds[] = {
    {"AveragePool LpPool MaxPool MaxUnpool", "kernel_shape", kInts},
    {"BitShift", "direction", kString},
    {"Cast", "to", kString},
    {"Concat", "axis", kInt},
    {"DepthToSpace SpaceToDepth", "blocksize", kInt},
    {"Einsum", "equation", kString},
    {"FakeQuantize", "qmin qmax", kInt},
    {"FakeQuantize", "dtype role", kString},
    {"GroupNormalization", "num_groups", kInt},
    {"If", "then_branch else_branch", kGraph},
    {"LRN", "size", kInt},
    {"Loop Scan", "body", kGraph},
    {"Scan", "num_scan_inputs", kInt},
};

using NeedTable =
    std::map<std::string, std::vector<std::pair<std::string, size_t>>>;

const NeedTable& Needs() {
  static const auto& table = *[] {
    auto* made = new NeedTable();
    for (const Need& need : kNeeds) {
      for (const auto& op : absl::StrSplit(need.operators, ' ')) {
        for (const auto& key : absl::StrSplit(need.attributes, ' ')) {
          (*made)[std::string(op)].emplace_back(key, need.kind);
        }
      }
    }
    return made;
  }();
  return table;
}

absl::Status CheckAttributes(const Node& node) {
  auto needs = Needs().find(node.op);
  if (needs == Needs().end()) return absl::OkStatus();
  for (const auto& [key, kind] : needs->second) {
    auto it = node.attrs.find(key);
    const Body* body =
        it == node.attrs.end() ? nullptr : std::get_if<Body>(&it->second);
    if (it == node.attrs.end() || (body != nullptr && *body == nullptr)) {
      return BadGraph(absl::StrCat(node.op, " needs attribute '", key, "'"),
                      node.name);
    }
    if (it->second.index() != kind) {
      return BadGraph(absl::StrCat("attribute '", key, "' of ", node.op,
                                   " must be ", kKindNames[kind], ", not ",
                                   kKindNames[it->second.index()]),
                      node.name);
    }
  }
  return absl::OkStatus();
}

// Inputs that are sizes, axes, amounts or places (ONNX, opset 17).
struct IntegerInputs {
  const char* operators;
  std::vector<size_t> inputs;
};

const std::map<std::string, std::vector<size_t>>& IntegerInputTable() {
  static const auto& table = *[] {
    const IntegerInputs rows[] = {
        {"ConstantOfShape", {0}},
        {"CumSum Expand Gather GatherElements GatherND ReduceSum Reshape "
         "ReverseSequence ScatterElements ScatterND Split Squeeze Tile TopK "
         "Trilu Unsqueeze",
         {1}},
        {"NonMaxSuppression", {2}},
        {"Pad", {1, 3}},
        {"Resize", {3}},
        {"Slice", {1, 2, 3, 4}},
    };
    auto* made = new std::map<std::string, std::vector<size_t>>();
    for (const IntegerInputs& row : rows) {
      for (const auto& op : absl::StrSplit(row.operators, ' ')) {
        (*made)[std::string(op)] = row.inputs;
      }
    }
    return made;
  }();
  return table;
}

absl::Status CheckIntegerInputs(const Graph& graph, const Node& node) {
  auto row = IntegerInputTable().find(node.op);
  if (row == IntegerInputTable().end() || !node.domain.empty()) {
    return absl::OkStatus();
  }
  for (size_t i : row->second) {
    if (node.input(i) == kNoValue) continue;
    const DType dtype = graph.value(node.input(i)).dtype;
    if (IsFloating(dtype) || dtype == DType::kString) {
      return BadGraph(absl::StrCat("input ", i, " of ", node.op,
                                   " must be integers, not ", DTypeName(dtype)),
                      node.name);
    }
  }
  return absl::OkStatus();
}

absl::Status Takes(const Node& node, const std::string& key, const Graph& body,
                   size_t inputs) {
  if (body.inputs().size() == inputs) return absl::OkStatus();
  return BadGraph(absl::StrCat("'", key, "' takes ", body.inputs().size(),
                               " values; ", node.op, " gives it ", inputs, " (",
                               node.Int("captures", 0), " captured)"),
                  node.name);
}

absl::Status CheckBodies(const Node& node) {
  const int64_t captures = node.Int("captures", 0);
  const auto inputs = static_cast<int64_t>(node.inputs.size());
  const int64_t own = node.op == "If"     ? 1
                      : node.op == "Loop" ? 2
                                          : node.Int("num_scan_inputs", 0);
  const bool fits =
      node.op == "If" ? own + captures == inputs : own + captures <= inputs;
  if (captures < 0 || own < 0 || !fits) {
    return BadGraph(absl::StrCat(inputs, " inputs do not hold ", own, " of ",
                                 node.op, " and ", captures, " captured ones"),
                    node.name);
  }
  for (const auto& [key, body] : BodiesOf(node)) {
    CONDENSE_RETURN_IF_ERROR(
        Takes(node, key, *body,
              static_cast<size_t>(node.op == "If" ? captures : inputs)));
    // Loop's condition stands before what it gives.
    const size_t given = node.outputs.size() + (node.op == "Loop" ? 1 : 0);
    if (body->outputs().size() != given) {
      return BadGraph(absl::StrCat("'", key, "' gives ", body->outputs().size(),
                                   " values; ", node.op, " needs ", given),
                      node.name);
    }
  }
  return absl::OkStatus();
}

// "the scale is ..." if a constant scale, of float32, is no grid.
absl::Status CheckScale(const Node& node, const Tensor& scale) {
  if (scale.dtype() != DType::kFloat32) {
    return BadGraph(absl::StrCat("the scale is ", DTypeName(scale.dtype()),
                                 ", not float32"),
                    node.name);
  }
  for (float s : scale.data<float>()) {
    if (!(s > 0) || std::isinf(s)) {
      return BadGraph(
          absl::StrCat("the scale has an element ", s, "; it must be positive"),
          node.name);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckZeroPoint(const Node& node, const Tensor& zero) {
  if (zero.dtype() != DType::kInt32) {
    return BadGraph(absl::StrCat("the zero point is ", DTypeName(zero.dtype()),
                                 ", not int32"),
                    node.name);
  }
  for (int32_t z : zero.data<int32_t>()) {
    if (z < node.Int("qmin", 0) || z > node.Int("qmax", 0)) {
      return BadGraph(
          absl::StrCat("the zero point ", z, " lies outside of qmin and qmax"),
          node.name);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAxis(const Graph& graph, const Node& node) {
  const auto& x = graph.value(node.inputs[0]).shape;
  for (size_t i : {1, 2}) {
    const auto& grid = graph.value(node.inputs[i]).shape;
    const char* what = i == 1 ? "scale" : "zero point";
    if (!x || !grid || grid->empty()) continue;
    if (!node.Has("axis")) {
      return BadGraph(absl::StrCat("the ", what, " has shape ", ShapeText(grid),
                                   " without an axis"),
                      node.name);
    }
    const int64_t axis = node.Int("axis", 0);
    if (axis < 0 || axis >= static_cast<int64_t>(x->size())) {
      return BadGraph(
          absl::StrCat("axis ", axis, " lies outside of ", ShapeText(x)),
          node.name);
    }
    // One for each block of a channel: the quantizer's own matter.
    if (node.Int("block_size", 0) > 0) continue;
    const Dim& channels = (*x)[axis];
    if (grid->size() != 1 || ((*grid)[0].known() && channels.known() &&
                              (*grid)[0].value != channels.value)) {
      return BadGraph(
          absl::StrCat("the ", what, " has shape ", ShapeText(grid), ", axis ",
                       axis, " of ", ShapeText(x), " needs one per channel"),
          node.name);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckQuantizer(const Graph& graph, const Node& node) {
  const int64_t qmin = node.Int("qmin", 0), qmax = node.Int("qmax", 0);
  if (qmin > qmax) {
    return BadGraph(absl::StrCat("qmin ", qmin, " is greater than qmax ", qmax),
                    node.name);
  }
  const std::string name = node.String("dtype", "");
  const DType dtype = DTypeFromName(name);
  const int bits = DTypeBits(dtype);
  if (bits == 0 || bits > 32 || IsFloating(dtype) || dtype == DType::kBool) {
    return BadGraph(absl::StrCat("'", name, "' stores no quantized values"),
                    node.name);
  }
  const bool is_signed = name[0] != 'u';
  const int64_t low = is_signed ? -(int64_t{1} << (bits - 1)) : 0;
  const int64_t high = low + (int64_t{1} << bits) - 1;
  if (qmin < low || qmax > high) {
    return BadGraph(absl::StrCat(qmin, " to ", qmax, " does not fit ", name),
                    node.name);
  }
  if (const Tensor* scale = graph.ConstantOf(node.inputs[1])) {
    CONDENSE_RETURN_IF_ERROR(CheckScale(node, *scale));
  }
  if (const Tensor* zero = graph.ConstantOf(node.inputs[2])) {
    CONDENSE_RETURN_IF_ERROR(CheckZeroPoint(node, *zero));
  }
  return CheckAxis(graph, node);
}

}  // namespace

absl::Status BadGraph(const std::string& message, const std::string& node) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_GRAPH", message,
                   {.node = node});
}

std::map<std::string, Body> BodiesOf(const Node& node) {
  std::map<std::string, Body> bodies;
  for (const auto& [key, value] : node.attrs) {
    const Body* body = std::get_if<Body>(&value);
    if (body != nullptr && *body != nullptr) bodies[key] = *body;
  }
  return bodies;
}

absl::Status VerifyNode(const Graph& graph, const Node& node) {
  if (!IsKnown(node)) {
    return BadGraph(absl::StrCat("unknown operator '",
                                 node.domain.empty() ? "" : node.domain + "::",
                                 node.op, "'"),
                    node.name);
  }
  CONDENSE_RETURN_IF_ERROR(CheckArity(node));
  CONDENSE_RETURN_IF_ERROR(CheckAttributes(node));
  CONDENSE_RETURN_IF_ERROR(CheckIntegerInputs(graph, node));
  if (node.Is("If") || node.Is("Loop") || node.Is("Scan")) {
    return CheckBodies(node);
  }
  return node.IsFakeQuantize() ? CheckQuantizer(graph, node) : absl::OkStatus();
}

}  // namespace condense::graph
