#ifndef CONDENSE_WORKERS_ENGINE_DATA_IMAGE_FILES_H_
#define CONDENSE_WORKERS_ENGINE_DATA_IMAGE_FILES_H_

#include <memory>
#include <string>
#include <vector>

#include "workers/engine/data/dataset.h"
#include "workers/engine/data/file_tree.h"

namespace condense::data {

// Images in files of their own, decoded when they are asked for. Thread-safe,
// but for AlignClasses.
class ImageFiles : public Dataset {
 public:
  // What is known without decoding anything.
  struct Index {
    // Paths in the tree, and the label of each.
    std::vector<std::string> files;
    std::vector<int64_t> labels;
    // Empty where labels are numbers.
    std::vector<std::string> class_names;
    std::vector<Attribute> attributes;
    std::vector<Pair> pairs;
  };
  // `tree` is shared with nobody; it may be large and is never copied.
  ImageFiles(std::shared_ptr<const FileTree> tree, Index index);

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  int64_t num_classes() const override;
  absl::StatusOr<Sample> Get(int64_t index) const override;
  int64_t LabelOf(int64_t index) const override {
    return Aligned(labels_[index]);
  }

 private:
  const std::shared_ptr<const FileTree> tree_;
  const std::vector<std::string> files_;
  const std::vector<int64_t> labels_;
  int64_t label_max_ = kNoLabel;
};

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_IMAGE_FILES_H_
