#include "workers/engine/import/tensor_file.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "onnx/onnx_pb.h"
#include "workers/engine/import/onnx_tensor.h"

namespace condense::onnx_import {
namespace {

using graph::DType;
using graph::Tensor;

absl::Status BadFile(absl::string_view why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_TENSOR_FILE",
                   absl::StrCat("not a tensor file: ", why),
                   {.hint = "write an ONNX TensorProto (.pb) or .npy"});
}

struct NpyType {
  const char* descr;
  DType dtype;
};
constexpr NpyType kNpyTypes[] = {
    {"<f4", DType::kFloat32}, {"<f8", DType::kFloat64},
    {"<f2", DType::kFloat16}, {"|i1", DType::kInt8},
    {"|u1", DType::kUint8},   {"<i2", DType::kInt16},
    {"<u2", DType::kUint16},  {"<i4", DType::kInt32},
    {"<u4", DType::kUint32},  {"<i8", DType::kInt64},
    {"<u8", DType::kUint64},  {"|b1", DType::kBool}};

// The text between `open` and `close` after `key`.
std::optional<absl::string_view> Between(absl::string_view header,
                                         absl::string_view key, char open,
                                         char close) {
  size_t at = header.find(key);
  if (at == absl::string_view::npos) return std::nullopt;
  at = header.find(open, at + key.size());
  if (at == absl::string_view::npos) return std::nullopt;
  const size_t end = header.find(close, at + 1);
  if (end == absl::string_view::npos) return std::nullopt;
  return header.substr(at + 1, end - at - 1);
}

absl::StatusOr<std::vector<int64_t>> NpyDims(absl::string_view text) {
  constexpr int64_t kElementsMax = int64_t{1} << 33;
  std::vector<int64_t> dims;
  int64_t count = 1;
  for (absl::string_view part :
       absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    int64_t dim = 0;
    if (!absl::SimpleAtoi(part, &dim) || dim < 0) {
      return BadFile("the shape is not readable");
    }
    if (dim > 0 && count > kElementsMax / dim) return BadFile("too large");
    count *= dim;
    dims.push_back(dim);
  }
  return dims;
}

}  // namespace

absl::StatusOr<Tensor> ParseNpy(absl::string_view bytes) {
  constexpr absl::string_view kMagic("\x93NUMPY", 6);
  if (!absl::StartsWith(bytes, kMagic) || bytes.size() < 12) {
    return BadFile("no NumPy header");
  }
  auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const bool wide = byte(6) >= 2;
  const size_t begin = wide ? 12 : 10;
  size_t length = byte(8) | byte(9) << 8;
  if (wide) length |= size_t{byte(10)} << 16 | size_t{byte(11)} << 24;
  if (begin + length > bytes.size()) return BadFile("the header is cut off");
  const absl::string_view header = bytes.substr(begin, length);
  if (absl::StrContains(header, "'fortran_order': True")) {
    return BadFile("Fortran order");
  }
  const auto descr = Between(header, "'descr':", '\'', '\'');
  const auto shape = Between(header, "'shape':", '(', ')');
  if (!descr || !shape) return BadFile("the header lacks descr or shape");
  const auto* type =
      std::find_if(std::begin(kNpyTypes), std::end(kNpyTypes),
                   [&](const NpyType& t) { return *descr == t.descr; });
  if (type == std::end(kNpyTypes)) {
    return BadFile(absl::StrCat("dtype ", *descr));
  }
  CONDENSE_ASSIGN_OR_RETURN(std::vector<int64_t> dims, NpyDims(*shape));
  const absl::string_view data = bytes.substr(begin + length);
  if (static_cast<int64_t>(data.size()) !=
      Tensor::ByteSize(type->dtype, dims)) {
    return BadFile("the data does not fill the shape");
  }
  return Tensor(type->dtype, std::move(dims), std::string(data));
}

absl::StatusOr<Tensor> ParseTensorProto(absl::string_view bytes) {
  onnx::TensorProto proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return BadFile("no TensorProto");
  }
  return TensorFromProto(proto);
}

absl::StatusOr<Tensor> ReadTensorFile(const std::string& path) {
  CONDENSE_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path));
  return absl::EndsWith(path, ".npy") ? ParseNpy(bytes)
                                      : ParseTensorProto(bytes);
}

}  // namespace condense::onnx_import
