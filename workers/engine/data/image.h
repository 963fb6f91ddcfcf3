#ifndef CONDENSE_WORKERS_ENGINE_DATA_IMAGE_H_
#define CONDENSE_WORKERS_ENGINE_DATA_IMAGE_H_

#include <string>

#include "absl/status/statusor.h"
#include "workers/engine/data/dataset.h"

namespace condense::data {

// Decodes a JPEG (libjpeg-turbo), PNG (libpng), PGM or PPM image, told apart by
// its first bytes, to 1 or 3 channels of 8 bits. At most 16384 pixels a side.
// INVALID_ARGUMENT with reason CORRUPT_IMAGE; a JPEG is corrupt when libjpeg
// warns that it had to make pixels up (a premature end, a bad code), and is not
// when it only skipped bytes between markers. Thread-safe.
absl::StatusOr<Sample> DecodeImage(const std::string& bytes);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_IMAGE_H_
