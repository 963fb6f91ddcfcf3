#ifndef CONDENSE_WORKERS_ENGINE_DATA_GUNZIP_H_
#define CONDENSE_WORKERS_ENGINE_DATA_GUNZIP_H_

#include <string>

#include "absl/status/statusor.h"

namespace condense::data {

// Unpacks gzip (RFC 1952, also of several members); at most 4 GiB.
// CORRUPT_DATA.
absl::StatusOr<std::string> Gunzip(const std::string& bytes);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_GUNZIP_H_
