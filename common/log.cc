#include "common/log.h"

#include <cstdlib>
#include <memory>

#include "nlohmann/json.hpp"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace condense {
namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// spdlog's %v is not escaped for JSON; this flag is.
class JsonMessageFlag : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& msg, const std::tm&,
              spdlog::memory_buf_t& dest) override {
    const std::string quoted =
        nlohmann::json(std::string(msg.payload.data(), msg.payload.size()))
            .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    dest.append(quoted.data(), quoted.data() + quoted.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JsonMessageFlag>();
  }
};

std::shared_ptr<spdlog::logger> MakeLogger(absl::string_view program,
                                           LogFormat format, LogLevel level) {
  auto logger = std::make_shared<spdlog::logger>(
      std::string(program), std::make_shared<spdlog::sinks::stderr_sink_mt>());
  auto formatter = std::make_unique<spdlog::pattern_formatter>(
      spdlog::pattern_time_type::utc);
  formatter->add_flag<JsonMessageFlag>('*');
  formatter->set_pattern(
      format == LogFormat::kJson
          ? R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l","program":"%n","message":%*})"
          : "%Y-%m-%dT%H:%M:%S.%eZ %n %l: %v");
  logger->set_formatter(std::move(formatter));
  logger->set_level(ToSpdlog(level));
  logger->flush_on(spdlog::level::debug);
  return logger;
}

std::shared_ptr<spdlog::logger>& Logger() {
  static auto& logger = *new std::shared_ptr<spdlog::logger>(
      MakeLogger("condense", LogFormat::kText, LogLevel::kInfo));
  return logger;
}

}  // namespace

void InitLog(absl::string_view program, LogFormat format, LogLevel level) {
  Logger() = MakeLogger(program, format, level);
}

void LogLine(LogLevel level, absl::string_view message) {
  Logger()->log(ToSpdlog(level),
                spdlog::string_view_t(message.data(), message.size()));
}

namespace log_internal {
void CheckFailed(const char* file, int line, const char* what,
                 const std::string& message) {
  LogLine(LogLevel::kError, absl::StrCat("CHECK failed at ", file, ":", line,
                                         ": ", what, " ", message));
  std::abort();
}
}  // namespace log_internal
}  // namespace condense
