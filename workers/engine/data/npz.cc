#include "workers/engine/data/npz.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "workers/engine/data/data_error.h"
#include "workers/engine/data/packed.h"

namespace condense::data {
namespace {

constexpr int64_t kSideMax = 16384;

absl::Status Corrupt(const std::string& name, const std::string& why,
                     const std::string& hint = "") {
  return DataError("CORRUPT_DATA", name, why, hint);
}

// What follows 'key': in the header, a literal of a Python dict.
absl::StatusOr<absl::string_view> Entry(const std::string& name,
                                        absl::string_view header,
                                        absl::string_view key) {
  const std::string quoted = absl::StrCat("'", key, "':");
  const size_t at = header.find(quoted);
  if (at == absl::string_view::npos ||
      header.find(quoted, at + 1) != absl::string_view::npos) {
    return Corrupt(name, absl::StrCat("its .npy header has no '", key, "'"));
  }
  return absl::StripLeadingAsciiWhitespace(header.substr(at + quoted.size()));
}

// "'<f4'" and so on.
absl::Status ReadType(const std::string& name, absl::string_view text,
                      NpyArray* array) {
  if (!absl::StartsWith(text, "'") || text.size() < 5) {
    return Corrupt(name, "it holds records, not numbers");
  }
  const absl::string_view type = text.substr(1, text.find('\'', 1) - 1);
  static constexpr absl::string_view kTypes[] = {"|b1", "|u1", "|i1", "<u2",
                                                 "<i2", "<u4", "<i4", "<u8",
                                                 "<i8", "<f4", "<f8"};
  for (absl::string_view known : kTypes) {
    if (type != known) continue;
    array->kind = type[1];
    array->size = type[2] - '0';
    return absl::OkStatus();
  }
  return Corrupt(name, absl::StrCat("elements of type ", type, " are not read"),
                 "store uint8, int64 or float32, little endian");
}

// "(10, 28, 28)", "(10,)".
absl::Status ReadShape(const std::string& name, absl::string_view text,
                       NpyArray* array) {
  const size_t close = text.find(')');
  if (!absl::StartsWith(text, "(") || close == absl::string_view::npos) {
    return Corrupt(name, "its .npy header has no shape");
  }
  int64_t count = 1;
  std::vector<absl::string_view> sizes =
      absl::StrSplit(text.substr(1, close - 1), ',');
  if (absl::StripAsciiWhitespace(sizes.back()).empty()) sizes.pop_back();
  for (absl::string_view size : sizes) {
    int64_t value = -1;
    if (!absl::SimpleAtoi(size, &value) || value < 0 ||
        (value > 0 && count > (int64_t{1} << 40) / value)) {
      return Corrupt(name, "its .npy header has a shape that cannot be");
    }
    array->shape.push_back(value);
    count *= value;
  }
  return absl::OkStatus();
}

template <typename T>
double Load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return static_cast<double>(value);
}

}  // namespace

int64_t NpyArray::count() const {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  return count;
}

double NpyArray::Value(int64_t index) const {
  const char* at = data.data() + index * size;
  switch (kind) {
    case 'f':
      return size == 4 ? Load<float>(at) : Load<double>(at);
    case 'i':
      return size == 1   ? Load<int8_t>(at)
             : size == 2 ? Load<int16_t>(at)
             : size == 4 ? Load<int32_t>(at)
                         : Load<int64_t>(at);
    default:
      return size == 1   ? Load<uint8_t>(at)
             : size == 2 ? Load<uint16_t>(at)
             : size == 4 ? Load<uint32_t>(at)
                         : Load<uint64_t>(at);
  }
}

absl::StatusOr<NpyArray> ParseNpy(const std::string& name,
                                  absl::string_view bytes) {
  const auto byte = [&](size_t i) {
    return static_cast<size_t>(static_cast<uint8_t>(bytes[i]));
  };
  if (bytes.size() < 12 || !absl::StartsWith(bytes, "\x93NUMPY") ||
      byte(6) < 1 || byte(6) > 3) {
    return Corrupt(name, "no .npy file");
  }
  const size_t begin = byte(6) == 1 ? 10 : 12;
  size_t length = byte(8) | byte(9) << 8;
  if (byte(6) > 1) length |= byte(10) << 16 | byte(11) << 24;
  if (bytes.size() < begin + length) {
    return Corrupt(name, "its .npy header is cut short");
  }
  const absl::string_view header = bytes.substr(begin, length);
  NpyArray array;
  CONDENSE_ASSIGN_OR_RETURN(const auto type, Entry(name, header, "descr"));
  CONDENSE_RETURN_IF_ERROR(ReadType(name, type, &array));
  CONDENSE_ASSIGN_OR_RETURN(const auto order,
                            Entry(name, header, "fortran_order"));
  CONDENSE_ASSIGN_OR_RETURN(const auto shape, Entry(name, header, "shape"));
  CONDENSE_RETURN_IF_ERROR(ReadShape(name, shape, &array));
  if (!absl::StartsWith(order, "False") && array.shape.size() > 1) {
    return Corrupt(name, "it is in Fortran order",
                   "store numpy.ascontiguousarray(...)");
  }
  array.data = bytes.substr(begin + length);
  if (static_cast<int64_t>(array.data.size()) != array.count() * array.size) {
    return Corrupt(name, absl::StrCat("it holds ", array.data.size(),
                                      " bytes, its header tells of ",
                                      array.count() * array.size));
  }
  return array;
}

namespace {

// Height, width and channels of the images in x, and whether the channels come
// first.
absl::StatusOr<std::pair<Sample, bool>> ShapeOf(const std::string& name,
                                                const NpyArray& x) {
  const std::vector<int64_t>& s = x.shape;
  const bool gray = s.size() == 3;
  if (!gray && s.size() != 4) {
    return Corrupt(name,
                   absl::StrCat("x is [", absl::StrJoin(s, ", "),
                                "]; images have 3 or 4 axes"),
                   "[N, H, W], [N, H, W, C] or [N, C, H, W]");
  }
  const bool last = gray || s[3] == 1 || s[3] == 3;
  const int64_t height = last ? s[1] : s[2], width = last ? s[2] : s[3];
  const int64_t channels = gray ? 1 : last ? s[3] : s[1];
  for (int64_t size : {s[0], height, width, channels}) {
    if (size < 1) return Corrupt(name, "x holds no image");
  }
  if (height > kSideMax || width > kSideMax || channels > kSideMax) {
    return Corrupt(name, "x holds images of more than 16384 pixels a side");
  }
  Sample shape;
  shape.height = static_cast<int>(height);
  shape.width = static_cast<int>(width);
  shape.channels = static_cast<int>(channels);
  return std::pair{shape, !last};
}

// The values of x with the channels last, handed to `take` in order.
template <typename Take>
void ForEach(const NpyArray& x, const Sample& shape, bool channels_first,
             Take take) {
  const int64_t plane = int64_t{shape.height} * shape.width;
  for (int64_t n = 0; n < x.shape[0]; ++n) {
    for (int64_t i = 0; i < plane; ++i) {
      for (int64_t c = 0; c < shape.channels; ++c) {
        const int64_t at =
            channels_first ? c * plane + i : i * shape.channels + c;
        take(x.Value(n * plane * shape.channels + at));
      }
    }
  }
}

absl::StatusOr<std::vector<int64_t>> LabelsOf(const std::string& name,
                                              const NpyArray& y,
                                              int64_t count) {
  const bool flat =
      y.shape.size() == 1 || (y.shape.size() == 2 && y.shape[1] == 1);
  if (!flat || y.kind == 'f') {
    return Corrupt(name,
                   absl::StrCat("y is [", absl::StrJoin(y.shape, ", "), "] of ",
                                y.kind == 'f' ? "floats" : "whole numbers",
                                "; labels are [N] of whole numbers"),
                   flat ? "" : "store y.argmax(axis=1)");
  }
  if (y.shape[0] != count) {
    return Corrupt(name, absl::StrCat("y has ", y.shape[0], " labels, x ",
                                      count, " images"));
  }
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < count; ++i) {
    const double label = y.Value(i);
    if (label < 0 || label > (1 << 24)) {
      return Corrupt(name, absl::StrCat("y[", i, "] is ", label,
                                        ", no number of a class"));
    }
    labels.push_back(static_cast<int64_t>(label));
  }
  return labels;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenNpz(const FileTree& tree,
                                                 const std::string& folder) {
  const std::string x_name = absl::StrCat(tree.name(), "/", folder, "x.npy");
  const std::string y_name = absl::StrCat(tree.name(), "/", folder, "y.npy");
  CONDENSE_ASSIGN_OR_RETURN(const std::string x_bytes,
                            tree.Read(folder + "x.npy"));
  CONDENSE_ASSIGN_OR_RETURN(const std::string y_bytes,
                            tree.Read(folder + "y.npy"));
  CONDENSE_ASSIGN_OR_RETURN(const NpyArray x, ParseNpy(x_name, x_bytes));
  CONDENSE_ASSIGN_OR_RETURN(const NpyArray y, ParseNpy(y_name, y_bytes));
  CONDENSE_ASSIGN_OR_RETURN(const auto shaped, ShapeOf(x_name, x));
  const auto& [shape, channels_first] = shaped;
  CONDENSE_ASSIGN_OR_RETURN(std::vector<int64_t> labels,
                            LabelsOf(y_name, y, x.shape[0]));
  std::string pixels;
  std::vector<float> values;
  double bad = std::numeric_limits<double>::quiet_NaN();
  if (x.kind == 'f') {
    values.reserve(x.count());
    ForEach(x, shape, channels_first, [&](double v) {
      if (!std::isfinite(v)) bad = 0;
      values.push_back(static_cast<float>(v));
    });
    if (!std::isnan(bad)) return Corrupt(x_name, "x holds NaN or infinity");
  } else {
    pixels.reserve(x.count());
    ForEach(x, shape, channels_first, [&](double v) {
      if (v < 0 || v > 255) {
        bad = v;
      } else {
        pixels.push_back(static_cast<char>(static_cast<int>(v)));
      }
    });
    if (!std::isnan(bad)) {
      return Corrupt(x_name,
                     absl::StrCat("x holds ", bad, "; pixels are 0 to 255"));
    }
  }
  return std::make_unique<PackedImages>(shape, std::move(pixels),
                                        std::move(values), std::move(labels));
}

}  // namespace condense::data
