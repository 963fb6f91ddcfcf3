#include "workers/agent/lease_runner.h"

#include <csignal>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/files.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/time_util.h"

namespace condense::agent {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kKillAfter = absl::Seconds(5);
constexpr absl::Duration kFlushTimeout = absl::Seconds(60);
constexpr absl::Duration kFirstPause = absl::Milliseconds(100);
constexpr absl::Duration kLongestPause = absl::Seconds(2);
constexpr int kArtifactTries = 3;
constexpr size_t kTailBytes = 600;

v1::JobEvent NewEvent(const char* type, v1::Job::Phase phase) {
  v1::JobEvent event;
  *event.mutable_time() =
      google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
          absl::ToUnixNanos(absl::Now()));
  event.set_type(type);
  event.set_phase(phase);
  return event;
}

// A file's name for a blob: what the reader tells the format by.
std::string DataFile(const v1::NamedData& data) {
  const std::string extension =
      data.is_folder() ? ".tar"
                       : fs::path(data.blob().filename()).extension().string();
  return absl::StrCat("data-", data.name(), extension);
}

bool IsPlainName(const std::string& name) {
  return !name.empty() && name.find('/') == std::string::npos && name != ".." &&
         name.find('\0') == std::string::npos;
}

bool LeaseIsLost(const absl::Status& status) {
  return ErrorReason(status) == "STALE_EPOCH" || absl::IsNotFound(status);
}

}  // namespace

LeaseRunner::LeaseRunner(v1::Assignment assignment, Options options)
    : assignment_(std::move(assignment)),
      options_(std::move(options)),
      relay_(
          [this](int64_t first, const std::vector<v1::JobEvent>& events) {
            return options_.server->ReportEvents(assignment_.lease(), first,
                                                 events);
          },
          [this] { Abandon(); }),
      checkpoints_({.blobs = options_.server->blobs(),
                    .folder = options_.folder,
                    .uploaded = [this](const v1::Checkpoint& checkpoint) {
                      v1::JobEvent event =
                          NewEvent("checkpoint", v1::Job::PHASE_UNSPECIFIED);
                      *event.mutable_checkpoint() = checkpoint;
                      relay_.Add(std::move(event));
                    }}) {
  thread_ = std::thread([this] { Work(); });
}

LeaseRunner::~LeaseRunner() {
  if (thread_.joinable()) thread_.join();
  if (reaper_.joinable()) reaper_.join();
}

v1::SlotStatus LeaseRunner::Status() const {
  v1::SlotStatus status;
  *status.mutable_lease() = assignment_.lease();
  if (const auto newest = checkpoints_.newest()) {
    *status.mutable_checkpoint() = *newest;
  }
  return status;
}

LeaseRunner::Wish LeaseRunner::wish() const {
  absl::MutexLock lock(&mu_);
  return wish_;
}

bool LeaseRunner::Raise(Wish wish) {
  absl::MutexLock lock(&mu_);
  if (wish_ >= wish) return false;
  wish_ = wish;
  return true;
}

void LeaseRunner::Cancel() {
  if (Raise(Wish::kCancel)) PassOn(Wish::kCancel);
}
void LeaseRunner::Drain() {
  if (Raise(Wish::kDrain)) PassOn(Wish::kDrain);
}
void LeaseRunner::EndNow() {
  if (Raise(Wish::kEndNow)) PassOn(Wish::kEndNow);
}
void LeaseRunner::Abandon() {
  relay_.Stop();
  if (Raise(Wish::kAbandon)) PassOn(Wish::kAbandon);
}

void LeaseRunner::PassOn(Wish wish) {
  absl::MutexLock lock(&mu_);
  if (engine_ == nullptr) return;
  v1::EngineCommand command;
  if (wish == Wish::kDrain) {
    command.mutable_checkpoint_and_stop();
    engine_->Send(command).IgnoreError();
    return;
  }
  if (wish >= Wish::kEndNow) {
    engine_->Kill(SIGKILL);
    return;
  }
  command.mutable_cancel();
  engine_->Send(command).IgnoreError();
  engine_->Kill(SIGTERM);
  Reap();
}

void LeaseRunner::Reap() {
  if (reaper_.joinable()) return;
  reaper_ = std::thread([this] {
    absl::MutexLock lock(&mu_);
    mu_.AwaitWithTimeout(
        absl::Condition(
            +[](LeaseRunner* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mu_) {
              return self->engine_ == nullptr;
            },
            this),
        kKillAfter);
    if (engine_ != nullptr) engine_->Kill(SIGKILL);
  });
}

void LeaseRunner::Say(v1::Job::Phase phase) {
  if (phase_ == phase && phase != v1::Job::FETCHING) return;
  phase_ = phase;
  relay_.Add(NewEvent("phase", phase));
}

void LeaseRunner::Work() {
  CONDENSE_LOG(kInfo, "lease ", lease().job(), " epoch ", lease().epoch(),
               " on ", options_.device);
  absl::Status status = MakeWritableFolder(options_.folder);
  if (status.ok()) status = Fetch();
  if (status.ok()) status = WriteJobFile();
  std::optional<v1::Done> done;
  if (status.ok() && wish() == Wish::kRun) {
    auto result = RunEngine();
    status = result.status();
    if (result.ok()) done = *std::move(result);
  }
  completing_ = true;
  if (wish() < Wish::kEndNow) checkpoints_.Flush();
  if (wish() != Wish::kAbandon) Complete(Completion(status, done));
  relay_.Stop();
  std::error_code error;
  fs::remove_all(options_.folder, error);
  CONDENSE_LOG(kInfo, "lease ", lease().job(), " epoch ", lease().epoch(),
               " ended");
  ended_ = true;
  options_.done();
}

absl::Status LeaseRunner::Fetch() {
  Say(v1::Job::FETCHING);
  const v1::JobSpec& spec = assignment_.job().spec();
  std::vector<std::pair<std::string, std::string>> wanted = {
      {spec.model().digest(), "model.onnx"}};
  if (spec.has_teacher()) {
    wanted.emplace_back(spec.teacher().digest(), "teacher.onnx");
  }
  for (const v1::NamedData& data : spec.data()) {
    if (!IsPlainName(data.name())) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, "BAD_DATA_NAME",
          absl::StrCat("'", data.name(), "' cannot name a file here"));
    }
    wanted.emplace_back(data.blob().digest(), DataFile(data));
  }
  if (!assignment_.resume_from().digest().empty()) {
    wanted.emplace_back(assignment_.resume_from().digest(), "resume.ckpt");
  }
  for (const auto& [digest, name] : wanted) {
    if (wish() != Wish::kRun) return absl::OkStatus();
    const std::string path = absl::StrCat(options_.folder, "/", name);
    CONDENSE_RETURN_IF_ERROR(options_.cache->Place(digest, path));
    std::error_code error;
    options_.metrics->BlobBytes(
        "in", static_cast<int64_t>(fs::file_size(path, error)));
  }
  return absl::OkStatus();
}

absl::Status LeaseRunner::WriteJobFile() const {
  const v1::JobSpec& spec = assignment_.job().spec();
  v1::JobFile file;
  file.set_model("model.onnx");
  if (spec.has_teacher()) file.set_teacher("teacher.onnx");
  file.set_recipe("recipe.yaml");
  for (const v1::NamedData& data : spec.data()) {
    (*file.mutable_data())[data.name()] = DataFile(data);
  }
  *file.mutable_profiles() = spec.profiles();
  *file.mutable_gates() = spec.gates();
  file.set_device(options_.device);
  file.set_threads(options_.threads);
  if (!assignment_.resume_from().digest().empty()) {
    file.set_resume_from("resume.ckpt");
  }
  file.set_checkpoint_interval_seconds(options_.checkpoint_interval_seconds);
  file.set_name(spec.display_name().empty() ? lease().job()
                                            : spec.display_name());
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto printed =
      google::protobuf::util::MessageToJsonString(file, &json, options);
  CONDENSE_CHECK(printed.ok(), printed.ToString());
  CONDENSE_RETURN_IF_ERROR(WriteFileAtomically(
      absl::StrCat(options_.folder, "/recipe.yaml"), spec.recipe()));
  return WriteFileAtomically(absl::StrCat(options_.folder, "/job.json"), json);
}

absl::StatusOr<std::optional<v1::Done>> LeaseRunner::RunEngine() {
  CONDENSE_ASSIGN_OR_RETURN(std::unique_ptr<EngineProcess> engine,
                            options_.engines->Take());
  Wish before = Wish::kRun;
  {
    absl::MutexLock lock(&mu_);
    engine_ = engine.get();
    before = wish_;
  }
  if (before != Wish::kRun) PassOn(before);
  v1::EngineCommand start;
  start.mutable_start()->set_job_dir(options_.folder);
  engine->Send(start).IgnoreError();
  std::optional<v1::Done> done;
  for (;;) {
    const auto event = engine->Read();
    if (!event.ok() || !event->has_value()) break;
    Relay(**event, &done);
    if (!done.has_value()) continue;
    // All is said: one that does not exit now is stuck.
    absl::MutexLock lock(&mu_);
    Reap();
  }
  how_it_ended_ = engine->Wait();
  {
    absl::MutexLock lock(&mu_);
    engine_ = nullptr;
  }
  const bool died = !done.has_value();
  options_.metrics->EngineEnded(
      died ? "died"
           : absl::AsciiStrToLower(v1::Done::Outcome_Name(done->outcome())));
  if (died && wish() == Wish::kRun) {
    done.emplace();
    done->set_outcome(v1::Done::FAILED);
    done->set_retryable(true);
    *done->mutable_error() = DeathOf(*engine);
    CONDENSE_LOG(kWarning, "lease ", lease().job(), ": ",
                 done->error().message());
  }
  return done;
}

v1::Error LeaseRunner::DeathOf(const EngineProcess& engine) const {
  v1::Error error;
  error.set_code("INTERNAL");
  error.set_reason("ENGINE_DIED");
  error.set_phase(phase_);
  error.set_message(
      absl::StrCat("the engine ended in the middle: ", how_it_ended_, ". ",
                   engine.StderrTail(kTailBytes)));
  if (engine.end_signal() == SIGKILL) {
    error.set_hint(
        "a kill from outside; where memory is short, the kernel "
        "kills the greatest process");
  }
  return error;
}

void LeaseRunner::Relay(const v1::EngineEvent& event,
                        std::optional<v1::Done>* done) {
  switch (event.kind_case()) {
    case v1::EngineEvent::kEvent:
      phase_ = event.event().phase();
      relay_.Add(event.event());
      break;
    case v1::EngineEvent::kCheckpoint:
      checkpoints_.Add(event.checkpoint());
      break;
    case v1::EngineEvent::kArtifact: {
      const absl::Status status = UploadArtifact(event.artifact());
      if (!status.ok()) {
        CONDENSE_LOG(kWarning,
                     "an artifact is not uploaded yet: ", status.message());
      }
      break;
    }
    case v1::EngineEvent::kStats:
      options_.metrics->EngineWorked(stats_, event.stats());
      stats_ = event.stats();
      break;
    case v1::EngineEvent::kDone:
      *done = event.done();
      break;
    default:
      break;
  }
}

absl::Status LeaseRunner::UploadArtifact(const v1::ArtifactWritten& written) {
  const std::string& profile = written.artifact().profile();
  std::erase_if(written_, [&](const v1::ArtifactWritten& other) {
    return other.artifact().profile() == profile;
  });
  written_.push_back(written);
  Say(v1::Job::UPLOADING);
  v1::Artifact artifact = written.artifact();
  for (v1::Artifact::File& file : *artifact.mutable_files()) {
    const std::string path = absl::StrCat(written.path(), "/", file.name());
    v1::BlobRef blob;
    CONDENSE_ASSIGN_OR_RETURN(*blob.mutable_digest(), DigestOfFile(path));
    blob.set_size_bytes(file.size_bytes());
    blob.set_filename(file.name());
    CONDENSE_RETURN_IF_ERROR(UploadBlob(options_.server->blobs(), path, blob));
    options_.metrics->BlobBytes("out", blob.size_bytes());
    file.set_digest(blob.digest());
    if (file.name() == "report.json") {
      artifact.set_report_digest(blob.digest());
    }
  }
  std::erase_if(artifacts_, [&](const v1::Artifact& other) {
    return other.profile() == profile;
  });
  artifacts_.push_back(artifact);
  v1::JobEvent event = NewEvent("artifact", v1::Job::UPLOADING);
  *event.mutable_artifact() = artifact;
  relay_.Add(std::move(event));
  return absl::OkStatus();
}

v1::CompleteLeaseRequest LeaseRunner::Completion(
    const absl::Status& status, const std::optional<v1::Done>& done) {
  v1::CompleteLeaseRequest request;
  *request.mutable_lease() = assignment_.lease();
  if (const auto newest = checkpoints_.newest()) {
    *request.mutable_checkpoint() = *newest;
  }
  const Wish wished = wish();
  if (wished == Wish::kCancel) {
    request.set_outcome(v1::Attempt::CANCELLED);
  } else if (!status.ok()) {
    request.set_outcome(v1::Attempt::FAILED);
    *request.mutable_error() = ErrorToProto(status, phase_);
    request.set_retryable(!absl::IsInvalidArgument(status) &&
                          !absl::IsNotFound(status));
  } else if (!done.has_value() || done->outcome() == v1::Done::STOPPED ||
             done->outcome() == v1::Done::CANCELLED) {
    request.set_outcome(v1::Attempt::RELEASED);
  } else if (done->outcome() == v1::Done::FAILED) {
    request.set_outcome(v1::Attempt::FAILED);
    *request.mutable_error() = done->error();
    request.set_retryable(done->retryable());
  } else {
    request.set_outcome(v1::Attempt::SUCCEEDED);
  }
  return request;
}

void LeaseRunner::Complete(v1::CompleteLeaseRequest request) {
  absl::Duration pause = kFirstPause;
  // Without grace left there is one try.
  const bool once = wish() == Wish::kEndNow;
  for (int tries = 0; wish() < (once ? Wish::kAbandon : Wish::kEndNow);) {
    if (request.outcome() == v1::Attempt::SUCCEEDED) {
      // Uploads again what the first try could not.
      for (size_t i = 0;
           artifacts_.size() < written_.size() && i < written_.size(); ++i) {
        UploadArtifact(v1::ArtifactWritten(written_[0])).IgnoreError();
      }
      request.mutable_artifacts()->Assign(artifacts_.begin(), artifacts_.end());
    }
    relay_.Flush(once ? absl::Seconds(1) : kFlushTimeout);
    const absl::Status status = options_.server->CompleteLease(request);
    if (status.ok() || LeaseIsLost(status) || once) return;
    CONDENSE_LOG(kWarning, "completing ", lease().job(), ": ",
                 status.message());
    if (ErrorReason(status) == "ARTIFACT_INCOMPLETE") {
      artifacts_.clear();
      if (++tries >= kArtifactTries) {
        request.set_outcome(v1::Attempt::FAILED);
        *request.mutable_error() = ErrorToProto(status, v1::Job::UPLOADING);
        request.set_retryable(true);
      }
    } else if (absl::IsInvalidArgument(status) ||
               absl::IsFailedPrecondition(status)) {
      return;
    }
    absl::SleepFor(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
}

}  // namespace condense::agent
