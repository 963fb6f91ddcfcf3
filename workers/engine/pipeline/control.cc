#include "workers/engine/pipeline/control.h"

#include "common/framing.h"
#include "condense/v1/engine.pb.h"

namespace condense::pipeline {

absl::StatusOr<std::string> Control::AwaitStart() {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(
      +[](Control* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mu_) {
        return self->closed_ || !self->job_dir_.empty();
      },
      this));
  if (job_dir_.empty()) return absl::CancelledError("no job was started");
  return job_dir_;
}

void Control::ReadCommands(int fd) {
  MessageReader reader(fd);
  v1::EngineCommand command;
  for (;;) {
    absl::StatusOr<bool> got = reader.Read(&command);
    if (!got.ok() || !*got) break;
    switch (command.kind_case()) {
      case v1::EngineCommand::kStart: {
        absl::MutexLock lock(&mu_);
        job_dir_ = command.start().job_dir();
        break;
      }
      case v1::EngineCommand::kCheckpointAndStop:
        Ask(Request::kCheckpointAndStop);
        break;
      case v1::EngineCommand::kCancel:
        Ask(Request::kCancel);
        break;
      case v1::EngineCommand::KIND_NOT_SET:
        break;
    }
  }
  Ask(Request::kCancel);
  absl::MutexLock lock(&mu_);
  closed_ = true;
}

}  // namespace condense::pipeline
