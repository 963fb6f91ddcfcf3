#ifndef CONDENSE_WORKERS_ENGINE_DATA_IMAGE_H_
#define CONDENSE_WORKERS_ENGINE_DATA_IMAGE_H_

#include <string>

#include "absl/status/statusor.h"
#include "workers/engine/data/dataset.h"

namespace condense::data {

// Decodes a JPEG (libjpeg-turbo) or PNG (libpng) image, told apart by its first
// bytes, to 1 or 3 channels of 8 bits. At most 16384 pixels a side.
// INVALID_ARGUMENT with reason CORRUPT_IMAGE. Thread-safe.
absl::StatusOr<Sample> DecodeImage(const std::string& bytes);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_IMAGE_H_
