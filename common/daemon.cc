#include "common/daemon.h"

#include <cstdlib>
#include <iostream>

#include "absl/strings/str_replace.h"
#include "common/error.h"
#include "common/log.h"

namespace condense {
namespace {

constexpr int kCannotStart = 1;
constexpr int kWrongUsage = 2;

}  // namespace

int RunDaemon(CLI::App* app, int argc, char** argv, const Daemon& daemon) {
  try {
    app->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app->exit(error) == 0 ? 0 : kWrongUsage;
  }
  InitLog(daemon.name,
          *daemon.log_format == "json" ? LogFormat::kJson : LogFormat::kText,
          LogLevel::kInfo);
  // gRPC's own lines would come between; its errors reach us as statuses.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop_signals, nullptr);
  const absl::Status status = daemon.serve(stop_signals);
  if (status.ok()) return 0;
  std::cerr << absl::StrReplaceAll(ErrorText(status), {{"\n  ", "; "}})
            << std::endl;
  return kCannotStart;
}

}  // namespace condense
