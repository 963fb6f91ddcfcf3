#ifndef CONDENSE_WORKERS_ENGINE_DATA_PACKED_H_
#define CONDENSE_WORKERS_ENGINE_DATA_PACKED_H_

#include <string>
#include <utility>
#include <vector>

#include "workers/engine/data/dataset.h"

namespace condense::data {

// Images of one size, all in memory, as the packed formats have them.
// Thread-safe, but for ReplacePixels.
class PackedImages : public Dataset {
 public:
  // `shape`: height, width and channels of each image. `values`, where it is
  // not empty, takes the place of `pixels`.
  PackedImages(const Sample& shape, std::string pixels,
               std::vector<float> values, std::vector<int64_t> labels);

  int64_t size() const override { return static_cast<int64_t>(labels_.size()); }
  int64_t num_classes() const override { return classes_; }
  absl::StatusOr<Sample> Get(int64_t index) const override;
  int64_t LabelOf(int64_t index) const override { return labels_[index]; }

  // As many as before. Not while a loader reads them.
  void ReplacePixels(std::string pixels) { pixels_ = std::move(pixels); }

 private:
  const Sample shape_;
  std::string pixels_;
  const std::vector<float> values_;
  const std::vector<int64_t> labels_;
  int64_t classes_ = 0;
};

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_PACKED_H_
