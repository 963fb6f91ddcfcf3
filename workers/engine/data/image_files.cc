#include "workers/engine/data/image_files.h"

#include <algorithm>

#include "common/status_macros.h"
#include "workers/engine/data/data_error.h"
#include "workers/engine/data/image.h"

namespace condense::data {

ImageFiles::ImageFiles(std::shared_ptr<const FileTree> tree, Index index)
    : tree_(std::move(tree)),
      files_(std::move(index.files)),
      labels_(std::move(index.labels)) {
  class_names_ = std::move(index.class_names);
  attributes_ = std::move(index.attributes);
  pairs_ = std::move(index.pairs);
  for (int64_t label : labels_) label_max_ = std::max(label_max_, label);
}

int64_t ImageFiles::num_classes() const {
  return class_names_.empty() ? label_max_ + 1
                              : static_cast<int64_t>(class_names_.size());
}

absl::StatusOr<Sample> ImageFiles::Get(int64_t index) const {
  const std::string& file = files_[index];
  absl::StatusOr<std::string> bytes = tree_->Read(file);
  absl::StatusOr<Sample> sample =
      bytes.ok() ? DecodeImage(*bytes) : bytes.status();
  if (!sample.ok()) {
    return DataError("CORRUPT_IMAGE", absl::StrCat(tree_->name(), "/", file),
                     sample.status().message());
  }
  sample->label = LabelOf(index);
  return sample;
}

}  // namespace condense::data
