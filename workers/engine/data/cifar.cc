#include "workers/engine/data/cifar.h"

#include "common/status_macros.h"
#include "workers/engine/data/data_error.h"
#include "workers/engine/data/packed.h"

namespace condense::data {
namespace {

constexpr size_t kPlane = 32 * 32;
constexpr size_t kImage = 3 * kPlane;

// Label bytes of a record, from the size of the file alone: 0 if it is neither.
size_t LabelBytes(size_t size) {
  if (size == 0) return 0;
  if (size % (1 + kImage) == 0) return 1;
  return size % (2 + kImage) == 0 ? 2 : 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenCifar(
    const FileTree& tree, const std::vector<std::string>& files) {
  std::string pixels;
  std::vector<int64_t> labels;
  size_t label_bytes = 0;
  for (const std::string& file : files) {
    CONDENSE_ASSIGN_OR_RETURN(const std::string bytes, tree.Read(file));
    const size_t found = LabelBytes(bytes.size());
    if (found == 0 || (label_bytes != 0 && found != label_bytes)) {
      return DataError("CORRUPT_DATA", absl::StrCat(tree.name(), "/", file),
                       "no CIFAR binary batch");
    }
    label_bytes = found;
    for (size_t at = 0; at < bytes.size(); at += label_bytes + kImage) {
      const char* record = bytes.data() + at;
      labels.push_back(static_cast<uint8_t>(record[label_bytes - 1]));
      for (size_t i = 0; i < kPlane; ++i) {
        for (size_t c = 0; c < 3; ++c) {
          pixels.push_back(record[label_bytes + c * kPlane + i]);
        }
      }
    }
  }
  Sample shape;
  shape.height = shape.width = 32;
  shape.channels = 3;
  return std::make_unique<PackedImages>(
      shape, std::move(pixels), std::vector<float>(), std::move(labels));
}

}  // namespace condense::data
