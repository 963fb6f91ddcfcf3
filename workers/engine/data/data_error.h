#ifndef CONDENSE_WORKERS_ENGINE_DATA_DATA_ERROR_H_
#define CONDENSE_WORKERS_ENGINE_DATA_DATA_ERROR_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "common/error.h"

namespace condense::data {

// INVALID_ARGUMENT about the file or folder `where`: "where: why".
inline absl::Status DataError(absl::string_view reason, absl::string_view where,
                              absl::string_view why,
                              absl::string_view hint = "",
                              absl::string_view nearest = "") {
  return MakeError(
      absl::StatusCode::kInvalidArgument, reason,
      absl::StrCat(where, ": ", why),
      {.nearest = std::string(nearest), .hint = std::string(hint)});
}

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_DATA_ERROR_H_
