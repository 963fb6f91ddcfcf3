#ifndef CONDENSE_COMMON_STATUS_MACROS_H_
#define CONDENSE_COMMON_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the enclosing function if `expr` is not OK.
#define CONDENSE_RETURN_IF_ERROR(expr)                                      \
  do {                                                                      \
    if (::absl::Status condense_status_ = (expr); !condense_status_.ok()) { \
      return condense_status_;                                              \
    }                                                                       \
  } while (false)

#define CONDENSE_CONCAT_INNER_(a, b) a##b
#define CONDENSE_CONCAT_(a, b) CONDENSE_CONCAT_INNER_(a, b)
#define CONDENSE_ASSIGN_OR_RETURN_IMPL_(statusor, lhs, expr) \
  auto statusor = (expr);                                    \
  if (!statusor.ok()) return std::move(statusor).status();   \
  lhs = std::move(statusor).value()

// Assigns the value of the StatusOr `expr` to `lhs`, or returns its status.
#define CONDENSE_ASSIGN_OR_RETURN(lhs, expr) \
  CONDENSE_ASSIGN_OR_RETURN_IMPL_(           \
      CONDENSE_CONCAT_(condense_statusor_, __LINE__), lhs, expr)

#endif  // CONDENSE_COMMON_STATUS_MACROS_H_
