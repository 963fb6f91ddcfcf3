#ifndef CONDENSE_COMMON_LOG_H_
#define CONDENSE_COMMON_LOG_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace condense {

enum class LogFormat { kText, kJson };
enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Sends the process's log to stderr, one line (or one JSON object) per call.
// Call once, from main; without it text lines of kInfo and up are written.
// Prefixed macros below because LibTorch's headers define LOG and CHECK.
void InitLog(absl::string_view program, LogFormat format, LogLevel level);

// Thread-safe.
void LogLine(LogLevel level, absl::string_view message);

namespace log_internal {
[[noreturn]] void CheckFailed(const char* file, int line, const char* what,
                              const std::string& message);
}  // namespace log_internal
}  // namespace condense

// CONDENSE_LOG(kInfo, "job ", name, " is running"): one line per state change.
#define CONDENSE_LOG(level, ...) \
  ::condense::LogLine(::condense::LogLevel::level, ::absl::StrCat(__VA_ARGS__))

// For our own bugs only; what a user, a disk or a network can cause is a
// Status.
#define CONDENSE_CHECK(cond, ...)                         \
  do {                                                    \
    if (!(cond)) [[unlikely]] {                           \
      ::condense::log_internal::CheckFailed(              \
          __FILE__, __LINE__, #cond,                      \
          ::absl::StrCat("" __VA_OPT__(, ) __VA_ARGS__)); \
    }                                                     \
  } while (false)

#endif  // CONDENSE_COMMON_LOG_H_
