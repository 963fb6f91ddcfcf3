#include "workers/engine/import/external_data.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"

namespace condense::onnx_import {
namespace {

namespace fs = std::filesystem;

// Tensors may share bytes (tied weights), but not without end: how often all of
// a file may be read.
constexpr int64_t kReadsMax = 8;

absl::Status Bad(const onnx::TensorProto& proto, absl::string_view why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_EXTERNAL_DATA",
                   absl::StrCat("tensor '", proto.name(), "': ", why),
                   {.hint = "keep the weight files beside the model"});
}

struct Place {
  std::string location;
  int64_t offset = 0;
  // -1: as long as the tensor.
  int64_t length = -1;
};

absl::StatusOr<Place> PlaceOf(const onnx::TensorProto& proto) {
  Place place;
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location") place.location = entry.value();
    const std::pair<const char*, int64_t*> numbers[] = {
        {"offset", &place.offset}, {"length", &place.length}};
    for (const auto& [key, number] : numbers) {
      if (entry.key() == key &&
          (!absl::SimpleAtoi(entry.value(), number) || *number < 0)) {
        return Bad(proto, absl::StrCat("a bad ", key));
      }
    }
  }
  return place;
}

}  // namespace

absl::StatusOr<std::string> ExternalData::Read(const onnx::TensorProto& proto,
                                               int64_t bytes) {
  if (folder_.empty()) return Bad(proto, "external data is not allowed here");
  CONDENSE_ASSIGN_OR_RETURN(const Place place, PlaceOf(proto));
  if (place.length >= 0 && place.length != bytes) {
    return Bad(proto, absl::StrCat("it has ", place.length,
                                   " bytes where its shape needs ", bytes));
  }
  std::error_code error;
  const fs::path base = fs::weakly_canonical(folder_, error);
  const fs::path path = fs::weakly_canonical(base / place.location, error);
  const fs::path inside = path.lexically_relative(base);
  if (error || place.location.empty() || inside.empty() ||
      *inside.begin() == "..") {
    return Bad(proto, absl::StrCat("'", place.location,
                                   "' leaves the model's folder"));
  }
  if (!fs::is_regular_file(path, error)) {
    return Bad(proto, absl::StrCat("there is no file '", place.location, "'"));
  }
  auto [it, added] = files_.try_emplace(path.string());
  File& file = it->second;
  if (added) {
    file.size = static_cast<int64_t>(fs::file_size(path, error));
    file.left = kReadsMax * file.size;
  }
  if (bytes > file.size || place.offset > file.size - bytes) {
    return Bad(proto, absl::StrCat("'", place.location, "' is too short"));
  }
  if (bytes > file.left) {
    return Bad(proto, absl::StrCat("'", place.location, "' is read too often"));
  }
  file.left -= bytes;
  std::ifstream in(path, std::ios::binary);
  in.seekg(place.offset);
  std::string data(bytes, '\0');
  in.read(data.data(), bytes);
  if (!in)
    return Bad(proto, absl::StrCat("cannot read '", place.location, "'"));
  return data;
}

}  // namespace condense::onnx_import
