#ifndef CONDENSE_WORKERS_ENGINE_DATA_PNM_H_
#define CONDENSE_WORKERS_ENGINE_DATA_PNM_H_

#include <string>

#include "absl/status/statusor.h"
#include "workers/engine/data/dataset.h"

namespace condense::data {

// Whether the bytes begin as a PGM (P5) or PPM (P6) file does.
bool IsPnm(const std::string& bytes);

// The binary forms of Netpbm's PGM (1 channel) and PPM (3 channels), with
// comments, of 8 or 16 bits; a greatest value other than 255 is scaled to it.
// At most 16384 pixels a side. INVALID_ARGUMENT with reason CORRUPT_IMAGE.
absl::StatusOr<Sample> DecodePnm(const std::string& bytes);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_PNM_H_
