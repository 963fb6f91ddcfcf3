#include "workers/agent/engine_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"

extern char** environ;

namespace condense::agent {
namespace {

constexpr int kEventFd = 3;
constexpr int kCommandFd = 4;
// Free of the two numbers above, so that a dup2 cannot overwrite its source.
constexpr int kFirstFreeFd = 10;

absl::Status NotStarted(const std::string& what, int error) {
  return MakeError(absl::StatusCode::kInternal, "ENGINE_NOT_STARTED",
                   absl::StrCat(what, ": ", std::strerror(error)),
                   {.hint = "condense-engine lies beside condense-worker, or "
                            "is named by --engine"});
}

struct Pipe {
  int read = -1;
  int write = -1;
};

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return NotStarted("pipe", errno);
  Pipe pipe;
  pipe.read = fcntl(fds[0], F_DUPFD_CLOEXEC, kFirstFreeFd);
  pipe.write = fcntl(fds[1], F_DUPFD_CLOEXEC, kFirstFreeFd);
  close(fds[0]);
  close(fds[1]);
  if (pipe.read < 0 || pipe.write < 0) return NotStarted("pipe", errno);
  return pipe;
}

// LibTorch's libraries read these when they are loaded; with them set the
// engine need not start itself again.
std::vector<std::string> Environment() {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    if (name != "OPENBLAS_CORETYPE" && name != "OMP_WAIT_POLICY" &&
        name != "OPENBLAS_NUM_THREADS") {
      out.push_back(text);
    }
  }
  out.insert(out.end(),
             {"OMP_WAIT_POLICY=PASSIVE", "OPENBLAS_NUM_THREADS=1",
              "MALLOC_MMAP_THRESHOLD_=4294967296",
              "MALLOC_TRIM_THRESHOLD_=4294967296", "MALLOC_TOP_PAD_=67108864"});
  return out;
}

std::vector<char*> Pointers(std::vector<std::string>* strings) {
  std::vector<char*> out;
  for (std::string& text : *strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// Owns the attributes of one posix_spawn.
class SpawnPlan {
 public:
  SpawnPlan() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP |
                                               POSIX_SPAWN_SETSIGMASK |
                                               POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  posix_spawn_file_actions_t* actions() { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<EngineProcess>> EngineProcess::Start(
    const EngineOptions& options) {
  CONDENSE_ASSIGN_OR_RETURN(const Pipe events, MakePipe());
  CONDENSE_ASSIGN_OR_RETURN(const Pipe commands, MakePipe());
  SpawnPlan plan;
  posix_spawn_file_actions_addopen(plan.actions(), 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(plan.actions(), 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(plan.actions(), 2,
                                   options.stderr_path.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(plan.actions(), events.write, kEventFd);
  posix_spawn_file_actions_adddup2(plan.actions(), commands.read, kCommandFd);
  std::vector<std::string> arguments = {
      options.binary, "serve",     "--device",
      options.device, "--threads", absl::StrCat(options.threads)};
  std::vector<std::string> environment = Environment();
  pid_t pid = 0;
  const int error = posix_spawn(&pid, options.binary.c_str(), plan.actions(),
                                plan.attributes(), Pointers(&arguments).data(),
                                Pointers(&environment).data());
  close(events.write);
  close(commands.read);
  if (error != 0) {
    close(events.read);
    close(commands.write);
    return NotStarted(absl::StrCat("cannot start ", options.binary), error);
  }
  return absl::WrapUnique(
      new EngineProcess(pid, events.read, commands.write, options.stderr_path));
}

EngineProcess::~EngineProcess() {
  Kill(SIGKILL);
  Wait();
  close(event_fd_);
  close(command_fd_);
}

absl::StatusOr<std::optional<v1::EngineEvent>> EngineProcess::Read() {
  v1::EngineEvent event;
  CONDENSE_ASSIGN_OR_RETURN(const bool got, reader_.Read(&event));
  if (!got) return std::nullopt;
  return event;
}

absl::StatusOr<std::optional<v1::EngineEvent>> EngineProcess::ReadWithin(
    absl::Duration timeout) {
  pollfd wait = {event_fd_, POLLIN, 0};
  const int ready =
      poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout)));
  if (ready == 0) Kill(SIGKILL);
  return Read();
}

absl::Status EngineProcess::Send(const v1::EngineCommand& command) {
  absl::MutexLock lock(&mu_);
  return WriteMessage(command_fd_, command);
}

void EngineProcess::Kill(int signal) {
  absl::MutexLock lock(&mu_);
  if (!reaped_) kill(-pid_, signal);
}

std::string EngineProcess::Wait() {
  // Without reaping first, so that no signal goes to a foreign process.
  siginfo_t info = {};
  while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) < 0 &&
         errno == EINTR) {
  }
  absl::MutexLock lock(&mu_);
  if (!reaped_) {
    waitpid(pid_, &wait_status_, 0);
    reaped_ = true;
  }
  if (WIFSIGNALED(wait_status_)) {
    const int signal = WTERMSIG(wait_status_);
    return absl::StrCat("signal ", signal, " (", strsignal(signal), ")");
  }
  return absl::StrCat("exit code ", WEXITSTATUS(wait_status_));
}

bool EngineProcess::alive() const {
  absl::MutexLock lock(&mu_);
  if (reaped_) return false;
  siginfo_t info = {};
  return waitid(P_PID, static_cast<id_t>(pid_), &info,
                WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == 0;
}

int EngineProcess::end_signal() const {
  absl::MutexLock lock(&mu_);
  return reaped_ && WIFSIGNALED(wait_status_) ? WTERMSIG(wait_status_) : 0;
}

std::string EngineProcess::StderrTail(size_t bytes) const {
  const std::string all = ReadFile(stderr_path_).value_or("");
  return all.size() > bytes ? all.substr(all.size() - bytes) : all;
}

}  // namespace condense::agent
