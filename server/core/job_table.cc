#include "server/core/job_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "server/core/errors.h"
#include "server/core/job_record.h"
#include "server/core/resource_names.h"

namespace condense {
namespace {

std::string RequestKey(absl::string_view project,
                       absl::string_view request_id) {
  return absl::StrCat(project, "/", request_id);
}

}  // namespace

JobTable::JobTable(Options options, BlobStore* blobs, ServerMetrics* metrics)
    : options_(options),
      blobs_(blobs),
      metrics_(metrics),
      workers_(options.lease) {}

void JobTable::Load(std::vector<JobRecord> records, absl::Time now) {
  jobs_.clear();
  requests_.clear();
  leases_.clear();
  backoffs_.clear();
  workers_.Clear();
  changed_.clear();
  std::vector<QueuedJob> queued;
  for (JobRecord& record : records) {
    v1::Job& job = record.job;
    if (v1::Attempt* attempt = RunningAttempt(job)) {
      leases_[job.name()] = {.worker = attempt->worker(),
                             .deadline = now + options_.lease,
                             .phase = job.phase(),
                             .phase_since = now};
      workers_.AddJob(attempt->worker(), job.name());
    } else {
      queued.push_back(QueuedJobOf(record));
      if (record.not_before > now) backoffs_.insert(record.not_before);
    }
    if (!job.request_id().empty()) {
      requests_[RequestKey(ProjectOfJob(job.name()), job.request_id())] =
          job.name();
    }
    jobs_[job.name()] = std::move(record);
  }
  queue_.Assign(std::move(queued));
}

void JobTable::Add(JobRecord record, absl::Time now) {
  v1::Job& job = record.job;
  *job.mutable_create_time() = ToProto(now);
  if (!job.request_id().empty()) {
    requests_[RequestKey(ProjectOfJob(job.name()), job.request_id())] =
        job.name();
  }
  JobRecord& stored = jobs_[job.name()];
  stored = std::move(record);
  Append(stored, ChangeState(stored.job, v1::Job::QUEUED, now));
  Enqueue(stored);
}

const JobRecord* JobTable::Find(absl::string_view name) const {
  auto it = jobs_.find(name);
  return it == jobs_.end() ? nullptr : &it->second;
}

JobRecord* JobTable::FindMutable(absl::string_view name) {
  auto it = jobs_.find(name);
  return it == jobs_.end() ? nullptr : &it->second;
}

const JobRecord* JobTable::FindByRequest(absl::string_view project,
                                         absl::string_view request_id) const {
  auto it = requests_.find(RequestKey(project, request_id));
  return it == requests_.end() ? nullptr : Find(it->second);
}

v1::Job JobTable::Cancel(absl::string_view name, absl::Time now) {
  JobRecord* record = FindMutable(name);
  CONDENSE_CHECK(record != nullptr, name);
  switch (record->job.state()) {
    case v1::Job::QUEUED:
      Finish(*record, v1::Job::CANCELLED, now);
      break;
    case v1::Job::RUNNING:
      Append(*record, ChangeState(record->job, v1::Job::CANCELLING, now));
      break;
    default:  // On its way out or out: nothing to do.
      break;
  }
  return record->job;
}

void JobTable::Annotate(v1::Job& job, absl::Time now) const {
  const QueuedJob* queued = queue_.Find(job.name());
  if (queued == nullptr || job.state() != v1::Job::QUEUED) return;
  job.set_pending_reason(
      PendingReasonOf(*queued, workers_.Connected(now), now));
  job.set_queue_position(queue_.Position(job.name()));
}

void JobTable::HeardFrom(const v1::SyncRequest& request, absl::Time now) {
  const std::string& worker = request.worker().name();
  workers_.HeardFrom(request.worker(), request.draining(), now);
  std::set<std::string> busy;
  for (const v1::SlotStatus& slot : request.busy()) {
    busy.insert(slot.lease().job());
    RenewLease(slot, worker, now);
  }
  if (request.known_version() != 0) return;
  const std::set<std::string> held = workers_.JobsOf(worker);
  for (const std::string& name : held) {
    JobRecord* record = FindMutable(name);
    if (busy.count(name) != 0 || record->next_index == 0) continue;
    InterruptLease(*record, v1::Attempt::LEASE_EXPIRED, "WORKER_RESTARTED",
                   now);
  }
}

void JobTable::RenewLease(const v1::SlotStatus& slot, const std::string& worker,
                          absl::Time now) {
  absl::StatusOr<JobRecord*> record = Held(slot.lease());
  if (!record.ok()) return;  // The wish will tell the agent.
  Lease& lease = leases_[slot.lease().job()];
  if (lease.worker != worker) return;
  lease.deadline = now + options_.lease;
  if (slot.has_checkpoint()) TakeCheckpoint(**record, slot.checkpoint());
}

void JobTable::TakeCheckpoint(JobRecord& record,
                              const v1::Checkpoint& checkpoint) {
  const v1::Checkpoint& known = record.job.checkpoint();
  if (checkpoint.digest().empty() || checkpoint.digest() == known.digest() ||
      checkpoint.step() < known.step() ||
      !blobs_->SizeOf(checkpoint.digest()).has_value()) {
    return;
  }
  *record.job.mutable_checkpoint() = checkpoint;
  changed_[record.job.name()];
}

v1::SyncResponse JobTable::WishFor(const v1::SyncRequest& request) const {
  v1::SyncResponse response;
  std::set<std::pair<std::string, int>> busy;
  for (const v1::SlotStatus& slot : request.busy()) {
    busy.emplace(slot.lease().job(), slot.lease().epoch());
  }
  uint64_t version = 14695981039346656037u;  // FNV-1a.
  for (const std::string& name : workers_.JobsOf(request.worker().name())) {
    const v1::Job& job = Find(name)->job;
    v1::Assignment* assignment = response.add_assignments();
    assignment->mutable_lease()->set_job(name);
    assignment->mutable_lease()->set_epoch(job.attempts_size());
    assignment->set_wish(job.state() == v1::Job::CANCELLING
                             ? v1::Assignment::CANCEL
                             : v1::Assignment::RUN);
    for (const char c : absl::StrCat(name, "|", job.attempts_size(), "|",
                                     assignment->wish(), ";")) {
      version = (version ^ static_cast<unsigned char>(c)) * 1099511628211u;
    }
    if (busy.count({name, job.attempts_size()}) != 0) continue;
    *assignment->mutable_job() = job;
    if (job.has_checkpoint()) {
      *assignment->mutable_resume_from() = job.checkpoint();
    }
  }
  response.mutable_lease()->set_seconds(absl::ToInt64Seconds(options_.lease));
  response.mutable_lease()->set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(options_.lease % absl::Seconds(1))));
  response.set_wish_version(static_cast<int64_t>(version >> 1) | 1);
  return response;
}

absl::StatusOr<JobRecord*> JobTable::Held(const v1::Lease& lease) {
  JobRecord* record = FindMutable(lease.job());
  const v1::Attempt* attempt =
      record == nullptr ? nullptr : RunningAttempt(record->job);
  if (attempt == nullptr || attempt->number() != lease.epoch()) {
    return StaleEpoch(lease.job(), lease.epoch());
  }
  return record;
}

absl::StatusOr<int64_t> JobTable::ReportEvents(
    const v1::ReportEventsRequest& request, absl::Time now) {
  absl::StatusOr<JobRecord*> held = Held(request.lease());
  if (!held.ok()) {
    metrics_->StaleWriteRefused();
    return held.status();
  }
  JobRecord& record = **held;
  if (request.first_index() > record.next_index) {
    return EventsMissing(request.first_index(), record.next_index);
  }
  for (int i = 0; i < request.events_size(); ++i) {
    if (request.first_index() + i < record.next_index) continue;
    AppendFromWorker(record, request.events(i), now);
    ++record.next_index;
  }
  leases_[record.job.name()].deadline = now + options_.lease;
  return record.next_index;
}

void JobTable::AppendFromWorker(JobRecord& record, const v1::JobEvent& event,
                                absl::Time now) {
  v1::JobEvent own = event;
  if (own.type() == "state") return;  // The server alone decides on states.
  if (own.has_checkpoint() &&
      !blobs_->SizeOf(own.checkpoint().digest()).has_value()) {
    CONDENSE_LOG(kWarning, record.job.name(), ": checkpoint ",
                 own.checkpoint().digest(), " is reported but not stored");
    return;
  }
  own.set_attempt(record.job.attempts_size());
  if (!own.has_time()) *own.mutable_time() = ToProto(now);
  ApplyEvent(own, record.job);
  own.set_phase(record.job.phase());
  NotePhase(leases_[record.job.name()], record.job.phase(), now);
  Append(record, std::move(own));
}

void JobTable::NotePhase(Lease& lease, v1::Job::Phase phase, absl::Time now) {
  if (lease.phase == phase) return;
  metrics_->PhaseEnded(lease.phase, now - lease.phase_since);
  lease.phase = phase;
  lease.phase_since = now;
}

bool JobTable::IsCompleted(const v1::Job& job, int epoch) {
  if (epoch < 1 || epoch > job.attempts_size()) return false;
  const v1::Attempt& attempt = job.attempts(epoch - 1);
  return attempt.has_end_time() &&
         attempt.outcome() != v1::Attempt::LEASE_EXPIRED;
}

absl::Status JobTable::CheckArtifacts(
    const v1::Job& job, const v1::CompleteLeaseRequest& request) const {
  for (const std::string& profile : job.spec().profiles()) {
    const auto& artifacts = request.artifacts();
    auto it = std::find_if(
        artifacts.begin(), artifacts.end(),
        [&](const v1::Artifact& a) { return a.profile() == profile; });
    if (it == artifacts.end()) return ArtifactIncomplete(profile, "is missing");
    if (it->verdict() == v1::Artifact::VERDICT_UNSPECIFIED) {
      return ArtifactIncomplete(profile, "has no verdict");
    }
    if (it->files_size() == 0) {
      return ArtifactIncomplete(profile, "has no files");
    }
    for (const v1::Artifact::File& file : it->files()) {
      if (blobs_->SizeOf(file.digest()).has_value()) continue;
      return ArtifactIncomplete(
          profile, absl::StrCat("lacks ", file.name(), " (", file.digest(),
                                "), which is not stored"));
    }
  }
  return absl::OkStatus();
}

absl::Status JobTable::CompleteLease(const v1::CompleteLeaseRequest& request,
                                     absl::Time now) {
  absl::StatusOr<JobRecord*> held = Held(request.lease());
  if (!held.ok()) {
    const JobRecord* record = Find(request.lease().job());
    if (record != nullptr &&
        IsCompleted(record->job, request.lease().epoch())) {
      return absl::OkStatus();
    }
    metrics_->StaleWriteRefused();
    return held.status();
  }
  JobRecord& record = **held;
  if (request.has_checkpoint()) TakeCheckpoint(record, request.checkpoint());
  const bool cancelling = record.job.state() == v1::Job::CANCELLING;
  switch (request.outcome()) {
    case v1::Attempt::SUCCEEDED:
      if (cancelling) break;
      CONDENSE_RETURN_IF_ERROR(CheckArtifacts(record.job, request));
      *record.job.mutable_artifacts() = request.artifacts();
      EndLease(record, v1::Attempt::SUCCEEDED, "", now);
      Finish(record, v1::Job::SUCCEEDED, now);
      return absl::OkStatus();
    case v1::Attempt::FAILED:
      if (cancelling) break;
      if (request.retryable()) {
        InterruptLease(record, v1::Attempt::FAILED, request.error().reason(),
                       now);
        return absl::OkStatus();
      }
      *record.job.mutable_error() = request.error();
      EndLease(record, v1::Attempt::FAILED, request.error().reason(), now);
      Finish(record, v1::Job::FAILED, now);
      return absl::OkStatus();
    case v1::Attempt::CANCELLED:
      if (cancelling) break;
      [[fallthrough]];  // Nobody asked for it: the worker gives it back.
    case v1::Attempt::RELEASED:
      if (cancelling) break;
      InterruptLease(record, v1::Attempt::RELEASED, "WORKER_RELEASED", now);
      return absl::OkStatus();
    default:
      return FieldMissing("outcome");
  }
  EndLease(record, v1::Attempt::CANCELLED, "", now);
  Finish(record, v1::Job::CANCELLED, now);
  return absl::OkStatus();
}

int JobTable::ExpireLeases(absl::Time now) {
  std::vector<std::string> silent;
  for (const auto& [job, lease] : leases_) {
    if (lease.deadline <= now) silent.push_back(job);
  }
  for (const std::string& name : silent) {
    CONDENSE_LOG(kWarning, name, ": lease of ", leases_[name].worker,
                 " ended unrenewed");
    metrics_->LeaseExpired();
    InterruptLease(*FindMutable(name), v1::Attempt::LEASE_EXPIRED,
                   "WORKER_SILENT", now);
  }
  workers_.Forget(now);
  return static_cast<int>(silent.size());
}

void JobTable::Dispatch(const std::vector<std::string>& waiting,
                        absl::Time now) {
  while (!backoffs_.empty() && *backoffs_.begin() <= now) {
    backoffs_.erase(backoffs_.begin());
  }
  for (const std::string& worker : waiting) {
    while (!queue_.jobs().empty()) {
      const auto picked = PickJob(workers_.ViewOf(worker), queue_.jobs(), now);
      if (!picked.has_value()) break;
      StartLease(*FindMutable(*picked), worker, now);
    }
  }
}

absl::Time JobTable::NextDeadline(absl::Time now) const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [job, lease] : leases_) {
    next = std::min(next, lease.deadline);
  }
  const auto backoff = backoffs_.upper_bound(now);
  return backoff == backoffs_.end() ? next : std::min(next, *backoff);
}

std::vector<JobChange> JobTable::TakeChanges() {
  std::vector<JobChange> changes;
  changes.reserve(changed_.size());
  for (auto& [name, events] : changed_) {
    auto it = jobs_.find(name);
    changes.push_back({.record = it->second, .events = std::move(events)});
    if (!IsFinal(it->second.job.state())) continue;
    const v1::Job& job = it->second.job;
    requests_.erase(RequestKey(ProjectOfJob(name), job.request_id()));
    jobs_.erase(it);
  }
  changed_.clear();
  return changes;
}

}  // namespace condense
