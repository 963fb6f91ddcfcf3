#ifndef CONDENSE_COMMON_DAEMON_H_
#define CONDENSE_COMMON_DAEMON_H_

#include <csignal>
#include <functional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"

namespace condense {

// A program that serves until SIGTERM or SIGINT.
struct Daemon {
  // As its log calls it.
  std::string name;
  // "json" or "text", known once the flags are parsed; must outlive the run.
  const std::string* log_format = nullptr;
  // Works until one of the signals, which are blocked, is waiting (sigwait).
  // An error: it cannot start.
  std::function<absl::Status(const sigset_t& stop_signals)> serve;
};

// Parses the flags of `app` and serves. The exit code: 0 asked to stop, 1
// cannot start (one line on stderr says why), 2 wrong usage. Call once, from
// main.
int RunDaemon(CLI::App* app, int argc, char** argv, const Daemon& daemon);

}  // namespace condense

#endif  // CONDENSE_COMMON_DAEMON_H_
