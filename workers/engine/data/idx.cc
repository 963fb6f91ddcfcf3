#include "workers/engine/data/idx.h"

#include "absl/strings/match.h"
#include "common/status_macros.h"
#include "workers/engine/data/data_error.h"
#include "workers/engine/data/gunzip.h"
#include "workers/engine/data/packed.h"

namespace condense::data {
namespace {

uint32_t BigEndian(const std::string& bytes, size_t at) {
  auto byte = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + i]));
  };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}

absl::StatusOr<std::string> ReadIdx(const FileTree& tree,
                                    const std::string& file) {
  CONDENSE_ASSIGN_OR_RETURN(std::string bytes, tree.Read(file));
  if (!absl::EndsWith(file, ".gz")) return bytes;
  absl::StatusOr<std::string> unpacked = Gunzip(bytes);
  if (!unpacked.ok()) {
    return DataError("CORRUPT_DATA", absl::StrCat(tree.name(), "/", file),
                     unpacked.status().message());
  }
  return unpacked;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenIdx(
    const FileTree& tree, const std::string& images_file,
    const std::string& labels_file) {
  CONDENSE_ASSIGN_OR_RETURN(std::string images, ReadIdx(tree, images_file));
  CONDENSE_ASSIGN_OR_RETURN(std::string labels, ReadIdx(tree, labels_file));
  auto corrupt = [&](const std::string& file, const char* why) {
    return DataError("CORRUPT_DATA", absl::StrCat(tree.name(), "/", file), why);
  };
  if (images.size() < 16 || BigEndian(images, 0) != 0x803) {
    return corrupt(images_file, "no IDX file of images");
  }
  if (labels.size() < 8 || BigEndian(labels, 0) != 0x801) {
    return corrupt(labels_file, "no IDX file of labels");
  }
  const size_t count = BigEndian(images, 4);
  Sample shape;
  shape.height = static_cast<int>(BigEndian(images, 8));
  shape.width = static_cast<int>(BigEndian(images, 12));
  shape.channels = 1;
  if (count == 0) return corrupt(images_file, "it holds no image");
  if (shape.height <= 0 || shape.width <= 0 || shape.height > 16384 ||
      shape.width > 16384 ||
      images.size() != 16 + count * size_t(shape.height) * shape.width) {
    return corrupt(images_file, "its size does not fit its header");
  }
  if (BigEndian(labels, 4) != count || labels.size() != 8 + count) {
    return corrupt(labels_file, "not as many labels as images");
  }
  std::vector<int64_t> classes;
  for (size_t i = 0; i < count; ++i) {
    classes.push_back(static_cast<uint8_t>(labels[8 + i]));
  }
  images.erase(0, 16);
  return std::make_unique<PackedImages>(
      shape, std::move(images), std::vector<float>(), std::move(classes));
}

}  // namespace condense::data
