// condense-engine: runs one job from a folder, or one of the small tools.

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/files.h"
#include "common/log.h"
#include "workers/engine/pipeline/commands.h"
#include "workers/engine/pipeline/contain.h"
#include "workers/engine/pipeline/control.h"
#include "workers/engine/pipeline/event_sink.h"
#include "workers/engine/pipeline/run_job.h"

namespace condense {
namespace {

// Of the agent's protocol (engine.proto).
constexpr int kEventFd = 3;
constexpr int kCommandFd = 4;

pipeline::Control* g_control = nullptr;

void OnSignal(int) {
  if (g_control != nullptr) {
    g_control->Ask(pipeline::Control::Request::kCheckpointAndStop);
  }
}

void HandleSignals(pipeline::Control* control) {
  g_control = control;
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

// libgomp and OpenBLAS read the environment when they are loaded, which is
// before main: with other settings the engine starts itself again, once.
void EnsureEnvironment(char** argv) {
  const std::pair<const char*, const char*> wanted[] = {
      {"OMP_WAIT_POLICY", "PASSIVE"},
      {"OPENBLAS_NUM_THREADS", "1"},
      {"MALLOC_MMAP_THRESHOLD_", "4294967296"},
      {"MALLOC_TRIM_THRESHOLD_", "4294967296"},
      {"MALLOC_TOP_PAD_", "67108864"}};
  bool changed = std::getenv("OPENBLAS_CORETYPE") != nullptr;
  unsetenv("OPENBLAS_CORETYPE");
  for (const auto& [name, value] : wanted) {
    if (std::getenv(name) == nullptr) {
      setenv(name, value, 1);
      changed = true;
    }
  }
  if (!changed || std::getenv("CONDENSE_ENGINE_ENV_SET") != nullptr) return;
  setenv("CONDENSE_ENGINE_ENV_SET", "1", 1);
  execv(SelfPath().c_str(), argv);
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", ErrorText(status).c_str());
  return status.code() == absl::StatusCode::kInvalidArgument ||
                 status.code() == absl::StatusCode::kUnimplemented
             ? 2
             : 1;
}

// What a rank that does not lead would tell, nobody needs twice.
class SilentSink : public pipeline::EventSink {
 public:
  void Send(const v1::EngineEvent&) override {}
};

int Run(const std::string& job_dir, const pipeline::RankPlan& ranks) {
  // Without its leader a rank has no work.
  if (!ranks.leads()) prctl(PR_SET_PDEATHSIG, SIGKILL);
  pipeline::Control control;
  HandleSignals(&control);
  std::unique_ptr<pipeline::EventSink> sink;
  if (!ranks.leads()) {
    sink = std::make_unique<SilentSink>();
  } else if (isatty(STDOUT_FILENO)) {
    sink = pipeline::MakeTerminalSink(stdout);
  } else {
    sink = pipeline::MakeJsonSink(stdout);
  }
  const pipeline::JobResult result =
      pipeline::RunJob(job_dir, &control, sink.get(), ranks);
  if (!result.status.ok()) {
    std::fprintf(stderr, "%s\n", ErrorText(result.status).c_str());
  }
  return result.ExitCode();
}

int Serve(const std::string& device, int threads) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  pipeline::Control control;
  HandleSignals(&control);
  auto sink = pipeline::MakePipeSink(kEventFd);
  pipeline::WarmUp(device, threads);
  v1::EngineEvent ready;
  ready.mutable_ready()->set_device(device);
  ready.mutable_ready()->set_version(CONDENSE_VERSION);
  sink->Send(ready);
  // Lives as long as the process: it ends when the agent closes the pipe.
  std::thread([&control] { control.ReadCommands(kCommandFd); }).detach();
  const absl::StatusOr<std::string> job_dir = control.AwaitStart();
  if (job_dir.ok()) pipeline::RunJob(*job_dir, &control, sink.get());
  // Skips destructors that the reader thread could still need.
  std::fflush(nullptr);
  _exit(0);
}

struct Options {
  std::string model;
  std::string job_dir;
  pipeline::RankPlan ranks;
  std::string device = "cpu";
  int threads = 0;
  pipeline::InferOptions infer;
  pipeline::BenchOptions bench;
  pipeline::ConvertOptions convert;
  pipeline::AnalyzeOptions analyze;
};

// The subcommands: the one that was asked for runs while the line is parsed.
class CommandLine {
 public:
  CommandLine() {
    app_.set_version_flag("--version", CONDENSE_VERSION);
    app_.require_subcommand(1);
    AddRun();
    AddServe();
    AddInfer();
    AddBench();
    AddConvert();
    AddAnalyze();
  }

  int Main(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app_.exit(error) == 0 ? 0 : 2;
    }
    return exit_code_;
  }

 private:
  void AddRun() {
    CLI::App* run = app_.add_subcommand("run", "run the job in a folder");
    run->add_option("JOB_DIR", options_.job_dir, "has job.json or job.yaml")
        ->required();
    run->add_option("--ranks,--world-size", options_.ranks.size,
                    "processes that train together (one for each device)")
        ->check(CLI::Range(1, 1024));
    CLI::Option* rank =
        run->add_option("--rank", options_.ranks.rank,
                        "of this process; without it, it is rank 0 "
                        "and starts the others on this machine");
    run->add_option("--rendezvous", options_.ranks.rendezvous,
                    "where ranks that others start meet: file:///PATH or "
                    "tcp://HOST:PORT")
        ->needs(rank);
    rank->needs("--rendezvous");
    run->callback(
        [this] { exit_code_ = Run(options_.job_dir, options_.ranks); });
  }

  void AddServe() {
    CLI::App* serve = app_.add_subcommand(
        "serve", "wait for one job from the agent (fds 3 and 4)");
    AddDevice(serve);
    serve->callback(
        [this] { exit_code_ = Serve(options_.device, options_.threads); });
  }

  void AddInfer() {
    pipeline::InferOptions& infer = options_.infer;
    CLI::App* command =
        AddTool("infer", "run a model on tensors from files", [this] {
          return pipeline::Infer(options_.model, options_.device,
                                 options_.threads, options_.infer);
        });
    command
        ->add_option("--input-dir", infer.input_dir, "input_0.pb or .npy, ...")
        ->required();
    command->add_option("--output-dir", infer.output_dir)->required();
  }

  void AddBench() {
    pipeline::BenchOptions& bench = options_.bench;
    CLI::App* command =
        AddTool("bench", "time a model on synthetic data", [this] {
          return pipeline::Bench(options_.model, options_.device,
                                 options_.threads, options_.bench);
        });
    command->add_option("--mode", bench.mode)
        ->check(CLI::IsMember({"infer", "train", "qat"}));
    command->add_option("--batch", bench.batch)->check(CLI::Range(1, 65536));
    command->add_option("--steps", bench.steps)->check(CLI::Range(1, 1000000));
    command->add_flag("--json", bench.json);
    AddShape(command, &bench.model);
  }

  void AddConvert() {
    pipeline::ConvertOptions& convert = options_.convert;
    CLI::App* command = AddTool("convert", "import, verify and export", [this] {
      return pipeline::Convert(options_.model, options_.convert);
    });
    command->add_option("--to", convert.to, "onnx or torchscript")->required();
    command->add_option("--out", convert.out)->required();
    command->add_option("--opset", convert.opset, "of ONNX, 13 to 21");
    command->add_option("--weights", convert.weights,
                        "stored as float32, float16 or bfloat16");
    command->add_flag("--sparse", convert.sparse,
                      "mostly zero weights as sparse initializers");
    command->add_flag("--external-data", convert.external_data,
                      "weights in OUT.data beside the model");
    AddShape(command, &convert.model);
  }

  void AddAnalyze() {
    pipeline::AnalyzeOptions& analyze = options_.analyze;
    CLI::App* command = AddTool("analyze", "what is in a model", [this] {
      return pipeline::Analyze(options_.model, options_.analyze);
    });
    command->add_flag("--json", analyze.json, "for machines");
    command->add_flag("--text", analyze.text, "the graph itself");
    command->add_flag("--all", analyze.all,
                      "every layer, however small the terminal");
    command->add_option("--sort", analyze.sort,
                        "layers by bytes, macs, activations, time or order");
    command->add_option("--profile", analyze.profile,
                        "a device profile's id or file");
    AddShape(command, &analyze.model);
  }

  // What works on one model and no job.
  CLI::App* AddTool(const char* name, const char* what,
                    std::function<absl::Status()> call) {
    CLI::App* command = app_.add_subcommand(name, what);
    command->add_option("MODEL", options_.model, "an ONNX or TorchScript file")
        ->required();
    AddDevice(command);
    command->callback([this, call = std::move(call)] {
      pipeline::LimitMemory(options_.device);
      const absl::Status status = pipeline::WithinMemory(call);
      exit_code_ = status.ok() ? 0 : Fail(status);
    });
    return command;
  }

  void AddDevice(CLI::App* command) {
    command->add_option("--device", options_.device, "cpu, cuda:N or auto");
    command->add_option("--threads", options_.threads,
                        "intra-op threads (default: one per core)");
  }

  static void AddShape(CLI::App* command, pipeline::ModelOptions* options) {
    command->add_option("--input-shape", options->input_shape,
                        "of a TorchScript model's inputs, like Nx3x32x32,Nx8");
  }

  CLI::App app_{"condense-engine: compresses one model in one folder"};
  Options options_;
  int exit_code_ = 0;
};

}  // namespace
}  // namespace condense

int main(int argc, char** argv) {
  condense::EnsureEnvironment(argv);
  condense::pipeline::ContainProcess();
  return condense::CommandLine().Main(argc, argv);
}
