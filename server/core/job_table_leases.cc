// What JobTable does to a lease and to the job that had it.
#include <algorithm>
#include <utility>

#include "common/error.h"
#include "common/log.h"
#include "server/core/errors.h"
#include "server/core/job_record.h"
#include "server/core/job_table.h"

namespace condense {
namespace {

constexpr int kDefaultMaxAttempts = 5;
// Attempts of any outcome: a job that every worker gives back ends too.
constexpr int kMaxLeases = 1000;
// A worker that gives a job back before it did anything is not asked again at
// once.
constexpr absl::Duration kReleaseBackoff = absl::Seconds(1);

}  // namespace

void JobTable::Append(JobRecord& record, v1::JobEvent event) {
  const int64_t sequence = record.job.last_sequence() + 1;
  record.job.set_last_sequence(sequence);
  event.set_sequence(sequence);
  changed_[record.job.name()].push_back(std::move(event));
}

void JobTable::Enqueue(const JobRecord& record) {
  if (record.not_before != absl::InfinitePast()) {
    backoffs_.insert(record.not_before);
  }
  queue_.Add(QueuedJobOf(record));
}

void JobTable::StartLease(JobRecord& record, const std::string& worker,
                          absl::Time now) {
  v1::Job& job = record.job;
  queue_.Remove(job.name());
  if (!job.has_start_time()) {
    metrics_->JobStarted(now - FromProto(job.create_time()));
  }
  Append(record, StartAttempt(record, worker, now));
  leases_[job.name()] = {.worker = worker,
                         .deadline = now + options_.lease,
                         .phase = job.phase(),
                         .phase_since = now};
  workers_.AddJob(worker, job.name());
  CONDENSE_LOG(kInfo, job.name(), ": leased to ", worker, ", attempt ",
               job.attempts_size());
}

void JobTable::EndLease(JobRecord& record, v1::Attempt::Outcome outcome,
                        absl::string_view reason, absl::Time now) {
  v1::Job& job = record.job;
  auto lease = leases_.find(job.name());
  metrics_->PhaseEnded(lease->second.phase, now - lease->second.phase_since);
  metrics_->AttemptEnded(outcome);
  workers_.RemoveJob(lease->second.worker, job.name());
  leases_.erase(lease);
  EndAttempt(job, outcome, reason, now);
}

void JobTable::Finish(JobRecord& record, v1::Job::State state, absl::Time now) {
  v1::Job& job = record.job;
  queue_.Remove(job.name());
  Append(record, ChangeState(job, state, now));
  metrics_->JobFinished(job, job.has_start_time()
                                 ? now - FromProto(job.start_time())
                                 : absl::ZeroDuration());
  CONDENSE_LOG(kInfo, job.name(), ": ", v1::Job::State_Name(state), " ",
               job.error().reason());
}

void JobTable::QueueAgain(JobRecord& record, absl::Duration wait,
                          absl::Time now) {
  record.not_before =
      wait > absl::ZeroDuration() ? now + wait : absl::InfinitePast();
  Append(record, ChangeState(record.job, v1::Job::QUEUED, now));
  Enqueue(record);
}

void JobTable::InterruptLease(JobRecord& record, v1::Attempt::Outcome outcome,
                              absl::string_view reason, absl::Time now) {
  v1::Job& job = record.job;
  const bool idle_release =
      outcome == v1::Attempt::RELEASED && record.next_index == 0;
  const bool cancelling = job.state() == v1::Job::CANCELLING;
  EndLease(record, outcome, reason, now);
  if (cancelling) {
    Finish(record, v1::Job::CANCELLED, now);
    return;
  }
  const int failed = FailedAttempts(job);
  const int most = job.spec().max_attempts() > 0 ? job.spec().max_attempts()
                                                 : kDefaultMaxAttempts;
  if (failed >= most || job.attempts_size() >= kMaxLeases) {
    *job.mutable_error() = ErrorToProto(
        AttemptsExhausted(job.attempts_size(), reason), job.phase());
    Finish(record, v1::Job::FAILED, now);
    return;
  }
  absl::Duration wait = idle_release ? kReleaseBackoff : absl::ZeroDuration();
  if (outcome == v1::Attempt::FAILED) wait = BackoffAfter(failed);
  QueueAgain(record, wait, now);
}

ServerGauges JobTable::Gauges(absl::Time now) const {
  ServerGauges gauges;
  for (const auto& [name, record] : jobs_) {
    ++gauges.jobs[record.job.state()];
    const auto kind = record.job.spec().device().kind();
    ++gauges.demand[kind == v1::DeviceRequirement::KIND_UNSPECIFIED
                        ? v1::DeviceRequirement::ANY
                        : kind];
  }
  for (const QueuedJob& job : queue_.jobs()) {
    gauges.oldest_queued =
        std::max(gauges.oldest_queued, now - job.create_time);
  }
  for (const v1::Worker& worker : workers_.List(now)) {
    ++gauges.workers[worker.state()];
    if (worker.state() == v1::Worker::LOST) continue;
    gauges.oldest_heartbeat =
        std::max(gauges.oldest_heartbeat, now - FromProto(worker.last_seen()));
  }
  return gauges;
}

}  // namespace condense
