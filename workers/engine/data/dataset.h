#ifndef CONDENSE_WORKERS_ENGINE_DATA_DATASET_H_
#define CONDENSE_WORKERS_ENGINE_DATA_DATASET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace condense::data {

// One image: height x width x channels, 0..255, row by row, with its class.
struct Sample {
  int height = 0;
  int width = 0;
  int channels = 0;
  std::vector<uint8_t> pixels;
  int64_t label = 0;
};

// Labelled images. Thread-safe.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  // Classes, as far as the data tells: one more than the largest label, or the
  // number of class folders.
  virtual int64_t num_classes() const = 0;
  // INVALID_ARGUMENT with reason CORRUPT_IMAGE and the file's name.
  virtual absl::StatusOr<Sample> Get(int64_t index) const = 0;
};

// Opens a folder by what is in it: class folders of JPEG or PNG files (classes
// in order of name), IDX (one *images* and one *labels* file, .gz allowed), or
// CIFAR binary batches (*.bin); or a .tar, .zip or compressed tar of these,
// unpacked in memory. INVALID_ARGUMENT: EMPTY_FOLDER, UNKNOWN_DATA_FORMAT,
// CORRUPT_DATA; NOT_FOUND: DATA_NOT_FOUND.
absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(const std::string& path);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_DATASET_H_
