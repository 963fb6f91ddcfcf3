#include "workers/engine/graph/parse_tensor.h"

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace condense::graph {
namespace {

using Kind = TextLexer::Kind;
using Token = TextLexer::Token;

// Of one tensor; beyond what a text can hold.
constexpr int64_t kElementsMax = int64_t{1} << 40;

// Little-endian elements of one type, from what stands between braces.
class Elements {
 public:
  explicit Elements(DType dtype) : dtype_(dtype) {}

  // False: the token is no element of the type.
  bool Add(const Token& token) {
    if (dtype_ == DType::kString) {
      strings_.push_back(token.text);
      return token.kind == Kind::kString;
    }
    if (token.kind != Kind::kName) return false;
    if (dtype_ == DType::kFloat32) {
      float value;
      return absl::SimpleAtof(token.text, &value) && Append(value);
    }
    if (dtype_ == DType::kFloat64) {
      double value;
      return absl::SimpleAtod(token.text, &value) && Append(value);
    }
    int64_t value;
    return !IsFloating(dtype_) && absl::SimpleAtoi(token.text, &value) &&
           AppendInteger(value);
  }

  int64_t count() const {
    return dtype_ == DType::kString ? static_cast<int64_t>(strings_.size())
                                    : count_;
  }
  Tensor Take(std::vector<int64_t> dims) {
    return dtype_ == DType::kString
               ? Tensor(std::move(dims), std::move(strings_))
               : Tensor(dtype_, std::move(dims), std::move(bytes_));
  }

 private:
  template <typename T>
  bool Append(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    ++count_;
    return true;
  }

  bool AppendInteger(int64_t value) {
    const int bits = dtype_ == DType::kBool ? 1 : DTypeBits(dtype_);
    const bool is_signed = dtype_ == DType::kInt4 || dtype_ == DType::kInt8 ||
                           dtype_ == DType::kInt16 || dtype_ == DType::kInt32 ||
                           dtype_ == DType::kInt64;
    if (bits == 0 || (!is_signed && value < 0)) return false;
    if (bits < 64) {
      const int64_t top = (int64_t{1} << (is_signed ? bits - 1 : bits)) - 1;
      if (value > top || (is_signed && value < -top - 1)) return false;
    }
    if (bits == 4) {
      const char nibble = static_cast<char>(value & 0xf);
      if (count_ % 2 == 0) {
        bytes_.push_back(nibble);
      } else {
        bytes_.back() = static_cast<char>(bytes_.back() | (nibble << 4));
      }
      ++count_;
      return true;
    }
    bytes_.append(reinterpret_cast<const char*>(&value), (bits + 7) / 8);
    ++count_;
    return true;
  }

  const DType dtype_;
  std::string bytes_;
  std::vector<std::string> strings_;
  int64_t count_ = 0;
};

absl::StatusOr<Dim> Dimension(TextLexer& lexer) {
  if (lexer.Skip("?")) return Dim();
  const Token token = lexer.token();
  int64_t size = 0;
  const bool digits =
      token.kind == Kind::kName &&
      token.text.find_first_not_of("-0123456789") == std::string::npos;
  if (!digits) {
    CONDENSE_ASSIGN_OR_RETURN(const std::string name,
                              lexer.Name("a dimension"));
    return Dim::Symbol(name);
  }
  if (!absl::SimpleAtoi(token.text, &size) || size < 0) {
    return lexer.Expected("a dimension");
  }
  lexer.Next();
  return Dim(size);
}

absl::StatusOr<Tensor> TensorData(TextLexer& lexer, DType dtype,
                                  const std::vector<int64_t>& dims,
                                  int64_t count) {
  const Token place = lexer.token();
  if (lexer.IsName("sha256")) {
    return lexer.Error("the elements were left out of this text");
  }
  if (lexer.IsName("base64")) {
    lexer.Next();
    const Token token = lexer.token();
    CONDENSE_ASSIGN_OR_RETURN(const std::string text, lexer.String());
    std::string bytes;
    if (!absl::Base64Unescape(text, &bytes)) {
      return TextError(token, "this is not base64");
    }
    const int64_t wanted = Tensor::ByteSize(dtype, dims);
    if (dtype == DType::kString ||
        static_cast<int64_t>(bytes.size()) != wanted) {
      return TextError(token, absl::StrCat(bytes.size(), " bytes for ", wanted,
                                           " of the shape"));
    }
    return Tensor(dtype, dims, std::move(bytes));
  }
  CONDENSE_RETURN_IF_ERROR(lexer.Need("{"));
  Elements elements(dtype);
  while (!lexer.Skip("}")) {
    if (elements.count() > 0) CONDENSE_RETURN_IF_ERROR(lexer.Need(","));
    if (!elements.Add(lexer.token())) {
      return lexer.Expected(
          absl::StrCat("an element of type ", DTypeName(dtype)));
    }
    lexer.Next();
  }
  if (elements.count() != count) {
    return TextError(place, absl::StrCat(elements.count(), " elements for ",
                                         count, " of the shape"));
  }
  return elements.Take(dims);
}

}  // namespace

absl::StatusOr<DType> ParseDType(TextLexer& lexer) {
  const Token token = lexer.token();
  const DType dtype = DTypeFromName(token.text);
  if (token.kind != Kind::kName ||
      (dtype == DType::kUndefined && token.text != DTypeName(dtype))) {
    return lexer.Expected("a type");
  }
  lexer.Next();
  return dtype;
}

absl::StatusOr<std::optional<Shape>> ParseShape(TextLexer& lexer) {
  if (lexer.Skip("?")) return std::optional<Shape>();
  CONDENSE_RETURN_IF_ERROR(lexer.Need("["));
  Shape shape;
  while (!lexer.Skip("]")) {
    if (!shape.empty()) CONDENSE_RETURN_IF_ERROR(lexer.Need(","));
    CONDENSE_ASSIGN_OR_RETURN(shape.emplace_back(), Dimension(lexer));
  }
  return std::optional<Shape>(std::move(shape));
}

absl::StatusOr<Tensor> ParseTensor(TextLexer& lexer) {
  CONDENSE_ASSIGN_OR_RETURN(const DType dtype, ParseDType(lexer));
  const Token place = lexer.token();
  CONDENSE_ASSIGN_OR_RETURN(const auto shape, ParseShape(lexer));
  const auto dims = shape ? KnownDims(*shape) : std::nullopt;
  if (!dims) return TextError(place, "a tensor has a known shape");
  int64_t count = 1;
  for (int64_t dim : *dims) {
    if (dim > 0 && count > kElementsMax / dim) {
      return TextError(place, "the tensor is too large");
    }
    count *= dim;
  }
  CONDENSE_RETURN_IF_ERROR(lexer.Need("="));
  return TensorData(lexer, dtype, *dims, count);
}

}  // namespace condense::graph
