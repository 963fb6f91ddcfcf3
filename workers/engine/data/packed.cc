#include "workers/engine/data/packed.h"

#include <algorithm>

namespace condense::data {

PackedImages::PackedImages(const Sample& shape, std::string pixels,
                           std::vector<float> values,
                           std::vector<int64_t> labels)
    : shape_(shape),
      pixels_(std::move(pixels)),
      values_(std::move(values)),
      labels_(std::move(labels)) {
  for (int64_t label : labels_) classes_ = std::max(classes_, label + 1);
}

absl::StatusOr<Sample> PackedImages::Get(int64_t index) const {
  Sample sample = shape_;
  const auto count =
      static_cast<size_t>(shape_.height) * shape_.width * shape_.channels;
  if (values_.empty()) {
    const auto* begin =
        reinterpret_cast<const uint8_t*>(pixels_.data()) + index * count;
    sample.pixels.assign(begin, begin + count);
  } else {
    const auto* begin = values_.data() + index * count;
    sample.values.assign(begin, begin + count);
  }
  sample.label = labels_[index];
  return sample;
}

}  // namespace condense::data
