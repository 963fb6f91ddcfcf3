#include "workers/engine/quantization/codebook.h"

#include <algorithm>
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

absl::Status Check(const Codebook& codebook, const std::vector<int64_t>& dims) {
  const int64_t rank = codebook.layout == Layout::kScalar ? 1 : 2;
  const Tensor& table = codebook.table;
  if (table.dtype() != DType::kFloat32 || table.rank() != rank ||
      table.num_elements() == 0) {
    return Bad("has no table of float32 in the shape of its layout");
  }
  if (codebook.layout == Layout::kPerChannel &&
      (dims.empty() || dims[0] != table.dims()[0])) {
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
  const int64_t width = Width(codebook);
  std::vector<float> values;
  values.reserve(CountOf(dims));
  for (int64_t i = 0; i < count; ++i) {
    int64_t row = codebook.codes[i];
    if (codebook.layout == Layout::kPerChannel) {
      row += i / (count / dims[0]) * NumEntries(codebook);
    }
    for (int64_t k = 0; k < width; ++k) {
      values.push_back(table[row * width + k]);
    }
  }
  return Tensor::Of<float>(std::move(dims), values);
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
  const int64_t count = static_cast<int64_t>(codebook.codes.size());
  std::vector<int64_t> code_dims = dims;
  if (codebook.layout == Layout::kVector) code_dims = {count};
  if (codebook.layout == Layout::kPerChannel) {
    code_dims = {dims[0], count / std::max<int64_t>(1, dims[0])};
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
  const bool per_channel = codebook.layout == Layout::kPerChannel;
  CONDENSE_ASSIGN_OR_RETURN(
      value, w.Op(per_channel ? "GatherElements" : "Gather", {table, value},
                  {{"axis", int64_t{per_channel ? 1 : 0}}}));
  if (codebook.layout != Layout::kScalar) {
    const ValueId sizes = w.Constant(
        "dims", Tensor::Of<int64_t>({static_cast<int64_t>(dims.size())}, dims));
    CONDENSE_ASSIGN_OR_RETURN(value, w.Op("Reshape", {value, sizes}));
  }
  graph->ReplaceUses(weight, value);
  graph->RemoveDeadValues();
  return absl::OkStatus();
}

}  // namespace condense::quantization
