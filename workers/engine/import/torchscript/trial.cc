#include "workers/engine/import/torchscript/trial.h"

#include <ATen/Parallel.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <new>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "condense/v1/job.pb.h"

namespace condense::torchscript_import {
namespace {

// Errors are shorter (common/error.cc).
constexpr size_t kAnswerBytesMax = 1 << 16;

void Limit(__rlimit_resource resource, rlim_t bound) {
  const rlimit limit = {bound, bound};
  setrlimit(resource, &limit);
}

void WriteAll(int fd, const std::string& bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = write(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    done += static_cast<size_t>(n);
  }
}

std::string ReadAll(int fd) {
  std::string bytes;
  char buffer[4096];
  while (bytes.size() < kAnswerBytesMax) {
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    bytes.append(buffer, static_cast<size_t>(n));
  }
  return bytes;
}

// The child: never returns. An empty error is success.
[[noreturn]] void Child(const std::function<absl::Status()>& work,
                        const TrialLimits& limits, int fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int number : {SIGSEGV, SIGABRT, SIGFPE, SIGILL, SIGBUS, SIGTERM}) {
    signal(number, SIG_DFL);
  }
  Limit(RLIMIT_CORE, 0);
  Limit(RLIMIT_FSIZE, 0);
  Limit(RLIMIT_CPU, static_cast<rlim_t>(absl::ToInt64Seconds(limits.cpu)));
  signal(SIGXFSZ, SIG_IGN);
  // Threads do not survive a fork.
  at::set_num_threads(1);
  absl::Status status;
  try {
    status = work();
  } catch (const std::bad_alloc&) {
    status = MakeError(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                       "the model needs more memory than there is");
  }
  v1::Error error;
  if (!status.ok()) {
    error = ErrorToProto(status, v1::Job::PHASE_UNSPECIFIED);
  }
  WriteAll(fd, absl::StrCat("done", error.SerializeAsString()));
  _exit(0);
}

absl::Status Died(int status) {
  const int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  if (number == SIGXCPU || number == SIGKILL) {
    return MakeError(absl::StatusCode::kInvalidArgument, "MODEL_TAKES_TOO_LONG",
                     "reading the model takes too long, or too much memory",
                     {.hint = "export the model as ONNX"});
  }
  return MakeError(
      absl::StatusCode::kInvalidArgument, "MODEL_CRASHES",
      absl::StrCat("LibTorch crashes while it reads the model (",
                   number == 0 ? "it ended" : strsignal(number), ")"),
      {.hint = "save the model again with torch.jit.save"});
}

}  // namespace

absl::Status InTrial(const std::function<absl::Status()>& work,
                     const TrialLimits& limits) {
  int ends[2];
  if (pipe(ends) != 0) {
    return MakeError(absl::StatusCode::kResourceExhausted, "NO_PIPE",
                     strerror(errno));
  }
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    Child(work, limits, ends[1]);
  }
  close(ends[1]);
  const std::string answer = child < 0 ? "" : ReadAll(ends[0]);
  close(ends[0]);
  if (child < 0) {
    return MakeError(absl::StatusCode::kResourceExhausted, "NO_PROCESS",
                     strerror(errno));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  v1::Error error;
  if (answer.substr(0, 4) != "done" ||
      !error.ParseFromString(answer.substr(4))) {
    return Died(status);
  }
  return error.code().empty() ? absl::OkStatus() : ErrorFromProto(error);
}

}  // namespace condense::torchscript_import
