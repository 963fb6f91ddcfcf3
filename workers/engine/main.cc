// condense-engine: runs one job from a folder, or one of the small tools.

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
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

void AddDevice(CLI::App* command, Options* options) {
  command->add_option("--device", options->device, "cpu, cuda:N or auto");
  command->add_option("--threads", options->threads,
                      "intra-op threads (default: one per core)");
}

void AddShape(CLI::App* command, pipeline::ModelOptions* options) {
  command->add_option("--input-shape", options->input_shape,
                      "of a TorchScript model's inputs, like Nx3x32x32,Nx8");
}

int Main(int argc, char** argv) {
  CLI::App app{"condense-engine: compresses one model in one folder"};
  app.set_version_flag("--version", CONDENSE_VERSION);
  app.require_subcommand(1);
  Options options;
  int exit_code = 0;

  CLI::App* run = app.add_subcommand("run", "run the job in a folder");
  run->add_option("JOB_DIR", options.job_dir, "has job.json or job.yaml")
      ->required();
  run->add_option("--ranks,--world-size", options.ranks.size,
                  "processes that train together (one for each device)")
      ->check(CLI::Range(1, 1024));
  CLI::Option* rank =
      run->add_option("--rank", options.ranks.rank,
                      "of this process; without it, it is rank 0 "
                      "and starts the others on this machine");
  run->add_option("--rendezvous", options.ranks.rendezvous,
                  "where ranks that others start meet: file:///PATH or "
                  "tcp://HOST:PORT")
      ->needs(rank);
  rank->needs("--rendezvous");
  run->callback([&] { exit_code = Run(options.job_dir, options.ranks); });

  CLI::App* serve = app.add_subcommand(
      "serve", "wait for one job from the agent (fds 3 and 4)");
  AddDevice(serve, &options);
  serve->callback([&] { exit_code = Serve(options.device, options.threads); });

  auto tool = [&](const char* name, const char* what, auto call) {
    CLI::App* command = app.add_subcommand(name, what);
    command->add_option("MODEL", options.model, "an ONNX or TorchScript file")
        ->required();
    AddDevice(command, &options);
    command->callback([&, call] {
      pipeline::LimitMemory(options.device);
      const absl::Status status = pipeline::WithinMemory(call);
      exit_code = status.ok() ? 0 : Fail(status);
    });
    return command;
  };
  CLI::App* infer = tool("infer", "run a model on tensors from files", [&] {
    return pipeline::Infer(options.model, options.device, options.threads,
                           options.infer);
  });
  infer
      ->add_option("--input-dir", options.infer.input_dir,
                   "input_0.pb or .npy, ...")
      ->required();
  infer->add_option("--output-dir", options.infer.output_dir)->required();
  CLI::App* bench = tool("bench", "time a model on synthetic data", [&] {
    return pipeline::Bench(options.model, options.device, options.threads,
                           options.bench);
  });
  bench->add_option("--mode", options.bench.mode)
      ->check(CLI::IsMember({"infer", "train", "qat"}));
  bench->add_option("--batch", options.bench.batch)
      ->check(CLI::Range(1, 65536));
  bench->add_option("--steps", options.bench.steps)
      ->check(CLI::Range(1, 1000000));
  bench->add_flag("--json", options.bench.json);
  AddShape(bench, &options.bench.model);
  CLI::App* convert = tool("convert", "import, verify and export", [&] {
    return pipeline::Convert(options.model, options.convert);
  });
  convert->add_option("--to", options.convert.to, "onnx or torchscript")
      ->required();
  convert->add_option("--out", options.convert.out)->required();
  convert->add_option("--opset", options.convert.opset, "of ONNX, 13 to 21");
  convert->add_option("--weights", options.convert.weights,
                      "stored as float32, float16 or bfloat16");
  convert->add_flag("--sparse", options.convert.sparse,
                    "mostly zero weights as sparse initializers");
  convert->add_flag("--external-data", options.convert.external_data,
                    "weights in OUT.data beside the model");
  AddShape(convert, &options.convert.model);
  CLI::App* analyze = tool("analyze", "what is in a model", [&] {
    return pipeline::Analyze(options.model, options.analyze);
  });
  analyze->add_flag("--json", options.analyze.json, "for machines");
  analyze->add_flag("--text", options.analyze.text, "the graph itself");
  analyze->add_flag("--all", options.analyze.all,
                    "every layer, however small the terminal");
  analyze->add_option("--sort", options.analyze.sort,
                      "layers by bytes, macs, activations, time or order");
  analyze->add_option("--profile", options.analyze.profile,
                      "a device profile's id or file");
  AddShape(analyze, &options.analyze.model);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return exit_code;
}

}  // namespace
}  // namespace condense

int main(int argc, char** argv) {
  condense::EnsureEnvironment(argv);
  condense::pipeline::ContainProcess();
  return condense::Main(argc, argv);
}
