#include "server/core/job_record.h"

#include "common/log.h"

namespace condense {
namespace {

void ApplyArtifact(const v1::Artifact& artifact, v1::Job& job) {
  for (v1::Artifact& known : *job.mutable_artifacts()) {
    if (known.profile() != artifact.profile()) continue;
    known = artifact;
    return;
  }
  *job.add_artifacts() = artifact;
}

}  // namespace

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp proto;
  const int64_t seconds = absl::ToUnixSeconds(time);
  proto.set_seconds(seconds);
  proto.set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return proto;
}

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) +
         absl::Nanoseconds(time.nanos());
}

QueuedJob QueuedJobOf(const JobRecord& record) {
  QueuedJob queued;
  queued.name = record.job.name();
  queued.device = record.job.spec().device();
  queued.priority = record.job.spec().priority();
  queued.create_time = FromProto(record.job.create_time());
  queued.not_before = record.not_before;
  return queued;
}

bool IsFinal(v1::Job::State state) {
  return state == v1::Job::SUCCEEDED || state == v1::Job::FAILED ||
         state == v1::Job::CANCELLED;
}

v1::Attempt* RunningAttempt(v1::Job& job) {
  if (job.attempts_size() == 0) return nullptr;
  v1::Attempt* last = job.mutable_attempts(job.attempts_size() - 1);
  return last->has_end_time() ? nullptr : last;
}

v1::JobEvent ChangeState(v1::Job& job, v1::Job::State state, absl::Time now) {
  job.set_state(state);
  if (state == v1::Job::QUEUED) {
    job.set_phase(v1::Job::PHASE_UNSPECIFIED);
    job.clear_progress();
  }
  if (IsFinal(state)) *job.mutable_end_time() = ToProto(now);
  v1::JobEvent event;
  *event.mutable_time() = ToProto(now);
  event.set_type("state");
  event.set_phase(job.phase());
  event.set_state(state);
  event.set_attempt(job.attempts_size());
  if (state == v1::Job::FAILED) *event.mutable_error() = job.error();
  return event;
}

void ApplyEvent(const v1::JobEvent& event, v1::Job& job) {
  if (event.phase() != v1::Job::PHASE_UNSPECIFIED) {
    job.set_phase(event.phase());
  }
  if (event.has_progress()) *job.mutable_progress() = event.progress();
  if (event.has_checkpoint() && !event.checkpoint().digest().empty()) {
    *job.mutable_checkpoint() = event.checkpoint();
  }
  if (event.has_artifact()) ApplyArtifact(event.artifact(), job);
}

v1::JobEvent StartAttempt(JobRecord& record, absl::string_view worker,
                          absl::Time now) {
  v1::Job& job = record.job;
  record.next_index = 0;
  v1::Attempt* attempt = job.add_attempts();
  attempt->set_number(job.attempts_size());
  attempt->set_worker(std::string(worker));
  *attempt->mutable_start_time() = ToProto(now);
  if (job.has_checkpoint()) {
    attempt->set_resumed_from_checkpoint(job.checkpoint().digest());
    if (job.checkpoint().has_step()) {
      attempt->set_resumed_from_step(job.checkpoint().step());
    }
  }
  if (!job.has_start_time()) *job.mutable_start_time() = ToProto(now);
  return ChangeState(job, v1::Job::RUNNING, now);
}

void EndAttempt(v1::Job& job, v1::Attempt::Outcome outcome,
                absl::string_view reason, absl::Time now) {
  v1::Attempt* attempt = RunningAttempt(job);
  CONDENSE_CHECK(attempt != nullptr, job.name());
  attempt->set_outcome(outcome);
  attempt->set_reason(std::string(reason));
  *attempt->mutable_end_time() = ToProto(now);
}

int FailedAttempts(const v1::Job& job) {
  int failed = 0;
  for (const v1::Attempt& attempt : job.attempts()) {
    failed += attempt.outcome() == v1::Attempt::FAILED ||
              attempt.outcome() == v1::Attempt::LEASE_EXPIRED;
  }
  return failed;
}

}  // namespace condense
