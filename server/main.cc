// condense-server: stores, queues and leases compression jobs.
#include <csignal>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/daemon.h"
#include "common/error.h"
#include "common/log.h"
#include "common/profiles/profiles.h"
#include "common/recipe/recipe.h"
#include "common/status_macros.h"
#include "prometheus/exposer.h"
#include "server/core/dispatcher.h"
#include "server/core/job_validation.h"
#include "server/core/watch_hub.h"
#include "server/metrics.h"
#include "server/rpc/rpc_server.h"
#include "server/store/data_dir_lock.h"
#include "server/store/directory_blob_store.h"
#include "server/store/sqlite_job_store.h"

namespace condense {
namespace {

struct Flags {
  std::string data_dir;
  std::string listen = "127.0.0.1:50551";
  std::string metrics_listen = "127.0.0.1:50552";
  double lease_seconds = 30;
  double grace_seconds = 60;
  std::string log_format = "text";
};

void Declare(CLI::App& app, Flags& flags) {
  app.set_config("--config", "", "Read flags from a TOML or INI file");
  app.add_option("--data-dir", flags.data_dir,
                 "Folder for jobs and blobs; created if it is not there")
      ->required();
  app.add_option("--listen", flags.listen,
                 "ADDR:PORT for gRPC; port 0 takes any free one")
      ->capture_default_str();
  app.add_option("--metrics-listen", flags.metrics_listen,
                 "ADDR:PORT for Prometheus; port 0 takes any free one")
      ->capture_default_str();
  app.add_option("--lease", flags.lease_seconds,
                 "Seconds for which a silent worker keeps its jobs")
      ->check(CLI::Range(0.3, 86400.0))
      ->capture_default_str();
  app.add_option("--grace", flags.grace_seconds,
                 "Seconds for calls to end after SIGTERM")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  app.add_option("--log-format", flags.log_format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
}

absl::StatusOr<std::string> ResolveRecipe(const v1::JobSpec& spec) {
  CONDENSE_ASSIGN_OR_RETURN(recipe::ParsedRecipe parsed,
                            recipe::ParseRecipe(spec.recipe()));
  CONDENSE_RETURN_IF_ERROR(recipe::ApplyGateOverrides(
      {spec.gates().begin(), spec.gates().end()}, &parsed.recipe));
  recipe::ResolveRecipe(&parsed.recipe);
  return recipe::RecipeToYaml(parsed.recipe);
}

// Throws nothing: the library's exception becomes a status.
absl::StatusOr<std::unique_ptr<prometheus::Exposer>> Expose(
    const std::string& address) {
  try {
    return std::make_unique<prometheus::Exposer>(address, 2);
  } catch (const std::exception&) {
    return MakeError(absl::StatusCode::kUnavailable, "CANNOT_LISTEN",
                     absl::StrCat("cannot listen on ", address,
                                  " for metrics: it is in use or not an "
                                  "address of this machine"),
                     {.hint = "take another --metrics-listen"});
  }
}

std::string WithPort(const std::string& address, int port) {
  return absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
}

// Runs until SIGTERM or SIGINT, which the caller has blocked.
absl::Status Serve(const Flags& flags, const sigset_t& stop_signals) {
  CONDENSE_ASSIGN_OR_RETURN(auto lock, DataDirLock::Take(flags.data_dir));
  CONDENSE_ASSIGN_OR_RETURN(auto jobs, OpenSqliteJobStore(flags.data_dir));
  CONDENSE_ASSIGN_OR_RETURN(auto blobs, OpenDirectoryBlobStore(absl::StrCat(
                                            flags.data_dir, "/blobs")));
  JobRules rules{.resolve_recipe = ResolveRecipe};
  CONDENSE_ASSIGN_OR_RETURN(rules.profiles, profiles::LoadBuiltInProfiles());
  // Shared because the exposer keeps a weak pointer to it.
  auto metrics = std::make_shared<ServerMetrics>();
  WatchHub hub;
  Dispatcher dispatcher({.clock = Clock::Real(),
                         .jobs = jobs.get(),
                         .blobs = blobs.get(),
                         .hub = &hub,
                         .metrics = metrics.get()},
                        {.lease = absl::Seconds(flags.lease_seconds)});
  metrics->SetGaugeSource([&dispatcher] { return dispatcher.Gauges(); });
  CONDENSE_ASSIGN_OR_RETURN(auto exposer, Expose(flags.metrics_listen));
  CONDENSE_RETURN_IF_ERROR(dispatcher.Start());
  exposer->RegisterCollectable(metrics);
  CONDENSE_ASSIGN_OR_RETURN(auto rpc,
                            RpcServer::Start({.dispatcher = &dispatcher,
                                              .jobs = jobs.get(),
                                              .blobs = blobs.get(),
                                              .hub = &hub,
                                              .metrics = metrics.get()},
                                             std::move(rules), flags.listen));
  const std::string grpc = WithPort(flags.listen, rpc->port());
  const std::string scrape =
      WithPort(flags.metrics_listen, exposer->GetListeningPorts().front());
  std::cout << "{\"grpc\":\"" << grpc << "\",\"metrics\":\"" << scrape << "\"}"
            << std::endl;
  CONDENSE_LOG(kInfo, "serving on ", grpc, ", metrics on ", scrape);
  int signal = 0;
  sigwait(&stop_signals, &signal);
  CONDENSE_LOG(kInfo, "stopping: signal ", signal);
  rpc->Stop(absl::Seconds(flags.grace_seconds));
  CONDENSE_LOG(kInfo, "stopped");
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Stores, queues and leases compression jobs.");
  app.set_version_flag("--version", "condense-server " CONDENSE_VERSION);
  Declare(app, flags);
  return RunDaemon(&app, argc, argv,
                   {.name = "condense-server",
                    .log_format = &flags.log_format,
                    .serve = [&](const sigset_t& signals) {
                      return Serve(flags, signals);
                    }});
}

}  // namespace
}  // namespace condense

int main(int argc, char** argv) { return condense::Main(argc, argv); }
