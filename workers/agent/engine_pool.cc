#include "workers/agent/engine_pool.h"

#include <csignal>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace condense::agent {
namespace {
constexpr size_t kTailBytes = 400;
// For an engine to load its libraries, on the slowest disk.
constexpr absl::Duration kReadyTimeout = absl::Minutes(2);
}  // namespace

EnginePool::EnginePool(Options options) : options_(std::move(options)) {
  if (options_.warm > 0) thread_ = std::thread([this] { Work(); });
  Refill();
}

EnginePool::~EnginePool() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<std::unique_ptr<EngineProcess>> EnginePool::StartOne() {
  EngineOptions engine = options_.engine;
  {
    absl::MutexLock lock(&mu_);
    engine.stderr_path =
        absl::StrCat(options_.folder, "/engine-", ++started_, ".log");
  }
  CONDENSE_ASSIGN_OR_RETURN(auto process, EngineProcess::Start(engine));
  CONDENSE_ASSIGN_OR_RETURN(const auto event,
                            process->ReadWithin(kReadyTimeout));
  if (!event.has_value() || !event->has_ready()) {
    process->Kill(SIGKILL);
    const std::string how = process->Wait();
    return MakeError(absl::StatusCode::kInternal, "ENGINE_NOT_STARTED",
                     absl::StrCat("the engine ended before it was ready: ", how,
                                  " ", process->StderrTail(kTailBytes)));
  }
  return process;
}

absl::StatusOr<std::unique_ptr<EngineProcess>> EnginePool::Take() {
  for (;;) {
    std::unique_ptr<EngineProcess> process;
    {
      absl::MutexLock lock(&mu_);
      if (ready_.empty()) break;
      process = std::move(ready_.front());
      ready_.pop_front();
      wanted_ = static_cast<int>(ready_.size());
    }
    // One that died while it waited is not handed out.
    if (process->alive()) return process;
  }
  return StartOne();
}

void EnginePool::Refill() {
  absl::MutexLock lock(&mu_);
  wanted_ = options_.warm;
}

int EnginePool::ready() const {
  absl::MutexLock lock(&mu_);
  return static_cast<int>(ready_.size());
}

void EnginePool::Work() {
  for (;;) {
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(
          +[](EnginePool* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mu_) {
            return self->stopping_ ||
                   static_cast<int>(self->ready_.size()) < self->wanted_;
          },
          this));
      if (stopping_) return;
    }
    auto process = StartOne();
    absl::MutexLock lock(&mu_);
    if (process.ok()) {
      ready_.push_back(*std::move(process));
    } else {
      CONDENSE_LOG(kWarning, "no warm engine: ", process.status().message());
      // Not again before a slot asks: a broken engine must not spin.
      wanted_ = static_cast<int>(ready_.size());
    }
  }
}

}  // namespace condense::agent
