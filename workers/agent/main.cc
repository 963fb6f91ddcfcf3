// condense-worker: takes jobs from a server and runs engines on them.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <iostream>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/daemon.h"
#include "common/error.h"
#include "common/files.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "prometheus/exposer.h"
#include "workers/agent/agent.h"
#include "workers/agent/devices.h"
#include "workers/agent/metrics.h"

namespace condense {
namespace {

struct Flags {
  agent::Agent::Options agent;
  std::string device = "auto";
  std::string metrics_listen = "127.0.0.1:50553";
  double grace_seconds = 60;
  std::string log_format = "text";
};

// host-pid: unique among the workers of a server.
std::string DefaultName() {
  char host[256] = "worker";
  gethostname(host, sizeof(host) - 1);
  return absl::StrCat(host, "-", getpid());
}

void Declare(CLI::App& app, Flags& flags) {
  agent::Agent::Options& agent = flags.agent;
  app.set_config("--config", "", "Read flags from a TOML or INI file");
  app.add_option("--server", agent.server, "ADDR:PORT of condense-server")
      ->required();
  app.add_option("--work-dir", agent.work_dir,
                 "Folder for jobs and the blob cache; created if not there")
      ->required();
  app.add_option("--slots", agent.slots, "Jobs at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--device", flags.device,
                 "cpu, cuda:N, or auto: all GPUs, else the CPU")
      ->capture_default_str();
  app.add_option("--name", agent.name,
                 "Unique name of this worker (default: host-pid)");
  app.add_option("--metrics-listen", flags.metrics_listen,
                 "ADDR:PORT for Prometheus; port 0 takes any free one")
      ->capture_default_str();
  app.add_option("--grace", flags.grace_seconds,
                 "Seconds for checkpoints after SIGTERM")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  app.add_option("--warm-engines", agent.warm_engines,
                 "Engines kept started per device; 0 turns that off")
      ->check(CLI::Range(0, 64))
      ->capture_default_str();
  app.add_option("--engine", agent.engine,
                 "condense-engine (default: the one beside this program)");
  app.add_option("--threads", agent.threads,
                 "Intra-op threads of each engine; 0: one per core")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  app.add_option("--cache-bytes", agent.cache_bytes,
                 "Blobs kept on disk at most")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--checkpoint-interval", agent.checkpoint_interval_seconds,
                 "Seconds between checkpoints; 0: after every step")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  app.add_option("--log-format", flags.log_format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
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

absl::Status FillDefaults(Flags* flags) {
  agent::Agent::Options& agent = flags->agent;
  CONDENSE_ASSIGN_OR_RETURN(agent.devices, agent::FindDevices(flags->device));
  if (agent.name.empty()) agent.name = DefaultName();
  if (agent.engine.empty()) {
    const std::string self = SelfPath();
    agent.engine =
        absl::StrCat(self.substr(0, self.rfind('/')), "/condense-engine");
  }
  if (access(agent.engine.c_str(), X_OK) != 0) {
    return MakeError(absl::StatusCode::kNotFound, "NO_ENGINE",
                     absl::StrCat("there is no program ", agent.engine),
                     {.hint = "name condense-engine by --engine"});
  }
  agent.version = CONDENSE_VERSION;
  return absl::OkStatus();
}

// Runs until SIGTERM or SIGINT, which the caller has blocked.
absl::Status Serve(Flags flags, const sigset_t& stop_signals) {
  CONDENSE_RETURN_IF_ERROR(FillDefaults(&flags));
  // Shared because the exposer keeps a weak pointer to it.
  auto metrics = std::make_shared<agent::WorkerMetrics>();
  CONDENSE_ASSIGN_OR_RETURN(auto exposer, Expose(flags.metrics_listen));
  CONDENSE_ASSIGN_OR_RETURN(auto agent,
                            agent::Agent::Start(flags.agent, metrics.get()));
  metrics->SetGaugeSource([raw = agent.get()] { return raw->Gauges(); });
  exposer->RegisterCollectable(metrics);
  const std::string& address = flags.metrics_listen;
  std::cout << "{\"worker\":\"" << flags.agent.name << "\",\"metrics\":\""
            << address.substr(0, address.rfind(':')) << ":"
            << exposer->GetListeningPorts().front() << "\"}" << std::endl;
  CONDENSE_LOG(kInfo, "worker ", flags.agent.name, ": ", flags.agent.slots,
               " slots on ", flags.agent.devices.front().model(), ", server ",
               flags.agent.server);
  int signal = 0;
  sigwait(&stop_signals, &signal);
  CONDENSE_LOG(kInfo, "stopping: signal ", signal);
  agent->Drain(absl::Seconds(flags.grace_seconds));
  metrics->SetGaugeSource(nullptr);
  agent.reset();
  CONDENSE_LOG(kInfo, "stopped");
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Takes jobs from a condense-server and runs engines on them.");
  app.set_version_flag("--version", "condense-worker " CONDENSE_VERSION);
  Declare(app, flags);
  return RunDaemon(&app, argc, argv,
                   {.name = "condense-worker",
                    .log_format = &flags.log_format,
                    .serve = [&](const sigset_t& signals) {
                      return Serve(std::move(flags), signals);
                    }});
}

}  // namespace
}  // namespace condense

int main(int argc, char** argv) { return condense::Main(argc, argv); }
