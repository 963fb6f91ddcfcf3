#include "workers/engine/quantization/codebook.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/quantization/stored_levels.h"

namespace condense::quantization {
namespace {

using graph::DType;
using graph::Graph;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;
using Layout = Codebook::Layout;

absl::Status Bad(absl::string_view why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_CODEBOOK",
                   absl::StrCat("a codebook ", why));
}

int64_t CountOf(const std::vector<int64_t>& dims) {
  int64_t count = 1;
  for (int64_t dim : dims) count *= dim;
  return count;
}

// How many codes each value of the table stands behind: 1 or D.
int64_t Width(const Codebook& codebook) {
  return codebook.layout == Layout::kVector ? codebook.table.dims()[1] : 1;
}

int64_t NumEntries(const Codebook& codebook) {
  return codebook.layout == Layout::kPerChannel ? codebook.table.dims()[1]
                                                : codebook.table.dims()[0];
}

bool HasChannels(Layout layout) {
  return layout == Layout::kPerChannel || layout == Layout::kPerLastChannel;
}

// The dimension of the weight that has a row, or column, of the table each.
int64_t ChannelsOf(const Codebook& codebook, const std::vector<int64_t>& dims) {
  return codebook.layout == Layout::kPerChannel ? dims.front() : dims.back();
}

absl::Status Check(const Codebook& codebook, const std::vector<int64_t>& dims) {
  const int64_t rank = codebook.layout == Layout::kScalar ? 1 : 2;
  const Tensor& table = codebook.table;
  if ((table.dtype() != DType::kFloat32 && table.dtype() != DType::kInt8) ||
      table.rank() != rank || table.num_elements() == 0) {
    return Bad("has no table of float32 or int8 in the shape of its layout");
  }
  if (HasChannels(codebook.layout) &&
      (dims.empty() ||
       ChannelsOf(codebook, dims) !=
           table.dims()[codebook.layout == Layout::kPerChannel ? 0 : 1])) {
    return Bad("has another number of rows than the weight has channels");
  }
  if (static_cast<int64_t>(codebook.codes.size()) * Width(codebook) !=
      CountOf(dims)) {
    return Bad("has codes that do not fill the weight");
  }
  const int64_t entries = NumEntries(codebook);
  if (entries > 65536) return Bad("has more than 65536 entries");
  for (int64_t code : codebook.codes) {
    if (code < 0 || code >= entries) return Bad("has a code without an entry");
  }
  return absl::OkStatus();
}

DType CodeType(int64_t entries, int opset) {
  if (entries <= 16 && opset >= 21) return DType::kUint4;
  return entries <= 256 ? DType::kUint8 : DType::kUint16;
}

// Appends nodes before the first reader of a weight.
class Writer {
 public:
  Writer(Graph* graph, NodeId where, std::string name)
      : graph_(*graph), where_(where), name_(std::move(name)) {}

  ValueId Constant(const char* what, Tensor tensor) {
    return graph_.AddConstant(absl::StrCat(name_, "_", what),
                              std::move(tensor));
  }

  absl::StatusOr<ValueId> Op(
      const char* op, std::vector<ValueId> inputs,
      std::map<std::string, graph::Attribute> attrs = {}) {
    const std::string name = absl::StrCat(name_, "/", op);
    const NodeId id = graph_.InsertBefore(where_, op, name, std::move(inputs),
                                          name, std::move(attrs));
    CONDENSE_RETURN_IF_ERROR(graph::InferNode(graph_, id));
    return graph_.node(id).outputs[0];
  }

 private:
  Graph& graph_;
  const NodeId where_;
  const std::string name_;
};

}  // namespace

absl::StatusOr<Tensor> DecodeCodebook(const Codebook& codebook,
                                      std::vector<int64_t> dims) {
  CONDENSE_RETURN_IF_ERROR(Check(codebook, dims));
  const std::vector<float> table = codebook.table.ToFloats();
  const int64_t count = static_cast<int64_t>(codebook.codes.size());
  // Of the values that one code stands for.
  const int64_t width = Width(codebook);
  std::vector<float> values;
  values.reserve(CountOf(dims));
  for (int64_t i = 0; i < count; ++i) {
    int64_t row = codebook.codes[i];
    if (codebook.layout == Layout::kPerChannel) {
      row += i / (count / dims[0]) * NumEntries(codebook);
    } else if (codebook.layout == Layout::kPerLastChannel) {
      row = row * dims.back() + i % dims.back();
    }
    for (int64_t k = 0; k < width; ++k) {
      values.push_back(table[row * width + k]);
    }
  }
  if (codebook.table.dtype() == DType::kFloat32) {
    return Tensor::Of<float>(std::move(dims), values);
  }
  return PackLevels(DType::kInt8, std::move(dims),
                    {values.begin(), values.end()});
}

std::optional<Codebook> CodebookOfLevels(const Tensor& levels, int64_t axis) {
  const std::vector<int64_t>& dims = levels.dims();
  const bool first = axis == 0, last = axis == levels.rank() - 1;
  if (axis >= 0 && !first && !last) return std::nullopt;
  const int64_t channels = axis < 0 ? 1 : dims[axis];
  const std::vector<int64_t> values = levels.ToInts();
  if (channels == 0 || values.empty()) return std::nullopt;
  const int64_t inner = static_cast<int64_t>(values.size()) / channels;
  // An element's channel.
  const auto channel = [&](int64_t i) {
    return axis < 0 ? 0 : first ? i / inner : i % channels;
  };
  std::vector<std::set<int64_t>> used(channels);
  for (size_t i = 0; i < values.size(); ++i) {
    used[channel(static_cast<int64_t>(i))].insert(values[i]);
  }
  size_t entries = 0;
  for (const auto& set : used) entries = std::max(entries, set.size());
  if (entries > 16) return std::nullopt;
  const auto count = static_cast<int64_t>(entries);
  std::vector<int64_t> table(count * channels);
  // The place of entry k of channel c.
  const auto at = [&](int64_t c, int64_t k) {
    return first || axis < 0 ? c * count + k : k * channels + c;
  };
  for (int64_t c = 0; c < channels; ++c) {
    auto next = used[c].begin();
    for (int64_t k = 0; k < count; ++k) {
      table[at(c, k)] = next == used[c].end() ? *used[c].rbegin() : *next++;
    }
  }
  Codebook out;
  out.layout = axis < 0 ? Layout::kScalar
               : first  ? Layout::kPerChannel
                        : Layout::kPerLastChannel;
  out.table = PackLevels(DType::kInt8,
                         axis < 0 ? std::vector<int64_t>{count}
                         : first  ? std::vector<int64_t>{channels, count}
                                  : std::vector<int64_t>{count, channels},
                         table);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto& set = used[channel(static_cast<int64_t>(i))];
    out.codes.push_back(std::distance(set.begin(), set.find(values[i])));
  }
  return out;
}

absl::Status StoreAsCodebook(Graph* graph, ValueId weight,
                             const Codebook& codebook, int opset) {
  const Tensor* constant = graph->ConstantOf(weight);
  const std::vector<NodeId> readers = graph->Consumers(weight);
  if (constant == nullptr || readers.empty() || graph->IsOutput(weight)) {
    return Bad("is for a weight, a constant that something reads");
  }
  const std::vector<int64_t> dims = constant->dims();
  CONDENSE_RETURN_IF_ERROR(Check(codebook, dims));
  if (codebook.table.dtype() != constant->dtype()) {
    return Bad("has a table of another type than the weight");
  }
  const int64_t count = static_cast<int64_t>(codebook.codes.size());
  std::vector<int64_t> code_dims = dims;
  if (codebook.layout == Layout::kVector) code_dims = {count};
  if (codebook.layout == Layout::kPerChannel) {
    code_dims = {dims[0], count / std::max<int64_t>(1, dims[0])};
  }
  if (codebook.layout == Layout::kPerLastChannel) {
    code_dims = {count / std::max<int64_t>(1, dims.back()), dims.back()};
  }
  Writer w(graph, readers[0], graph->value(weight).name);
  const DType type = CodeType(NumEntries(codebook), opset);
  const ValueId codes =
      w.Constant("codes", PackLevels(type, code_dims, codebook.codes));
  const ValueId table = w.Constant("table", codebook.table);
  ValueId value = codes;
  if (type == DType::kUint4) {
    // ONNX Runtime has no Cast from 4 bits; small numbers are exact in float.
    const ValueId one = w.Constant("one", Tensor::Scalar<float>(1));
    CONDENSE_ASSIGN_OR_RETURN(value, w.Op("DequantizeLinear", {codes, one}));
  }
  CONDENSE_ASSIGN_OR_RETURN(
      value, w.Op("Cast", {value}, {{"to", std::string("int32")}}));
  const int64_t axis = codebook.layout == Layout::kPerChannel ? 1 : 0;
  CONDENSE_ASSIGN_OR_RETURN(
      value, w.Op(HasChannels(codebook.layout) ? "GatherElements" : "Gather",
                  {table, value}, {{"axis", axis}}));
  if (codebook.layout != Layout::kScalar && code_dims != dims) {
    const ValueId sizes = w.Constant(
        "dims", Tensor::Of<int64_t>({static_cast<int64_t>(dims.size())}, dims));
    CONDENSE_ASSIGN_OR_RETURN(value, w.Op("Reshape", {value, sizes}));
  }
  graph->ReplaceUses(weight, value);
  graph->RemoveDeadValues();
  return absl::OkStatus();
}

}  // namespace condense::quantization
