#include "server/core/dispatcher.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "common/log.h"
#include "common/status_macros.h"
#include "server/core/errors.h"
#include "server/core/job_record.h"
#include "server/core/resource_names.h"

namespace condense {
namespace {

// Commands stored in one transaction.
constexpr size_t kMaxBatch = 1000;
// Random names that may be taken before we give up.
constexpr int kNameTries = 20;
// Retries after the store could not even be read.
constexpr absl::Duration kReloadInterval = absl::Seconds(1);

// A completion that hands over `result`, or the error of storing it.
template <typename T>
std::function<void(const absl::Status&)> Answer(
    std::function<void(absl::StatusOr<T>)> done, absl::StatusOr<T> result) {
  return [done = std::move(done),
          result = std::move(result)](const absl::Status& stored) {
    done(stored.ok() ? result : absl::StatusOr<T>(stored));
  };
}

template <typename T>
std::function<void(const absl::Status&)> Refuse(
    std::function<void(absl::StatusOr<T>)> done) {
  return [done = std::move(done)](const absl::Status& why) { done(why); };
}

}  // namespace

Dispatcher::Dispatcher(Parts parts, JobTable::Options options)
    : parts_(parts),
      lease_(options.lease),
      table_(options, parts.blobs, parts.metrics) {}

Dispatcher::~Dispatcher() { Stop(); }

absl::Status Dispatcher::Start() {
  absl::MutexLock lock(&mu_);
  CONDENSE_RETURN_IF_ERROR(Reload());
  thread_ = std::thread([this] { Loop(); });
  return absl::OkStatus();
}

absl::Status Dispatcher::Reload() {
  CONDENSE_ASSIGN_OR_RETURN(finished_, parts_.jobs->CountByState());
  for (auto it = finished_.begin(); it != finished_.end();) {
    it = IsFinal(it->first) ? std::next(it) : finished_.erase(it);
  }
  CONDENSE_ASSIGN_OR_RETURN(std::vector<JobRecord> records,
                            parts_.jobs->LoadUnfinished());
  table_.Load(std::move(records), parts_.clock->TimeNow());
  must_reload_ = false;
  return absl::OkStatus();
}

void Dispatcher::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void Dispatcher::Post(Command command, Completion refused) {
  {
    absl::MutexLock lock(&mu_);
    if (!stopping_) {
      commands_.emplace_back(std::move(command), std::move(refused));
      return;
    }
  }
  refused(ServerStopping());
}

bool Dispatcher::HasWork() const { return stopping_ || !commands_.empty(); }

void Dispatcher::Loop() {
  absl::Time wake = absl::InfinitePast();
  for (bool stop = false; !stop;) {
    std::vector<Completion> completions;
    std::vector<JobChange> changes;
    {
      absl::MutexLock lock(&mu_);
      parts_.clock->AwaitWithDeadline(
          &mu_, absl::Condition(this, &Dispatcher::HasWork), wake);
      const absl::Time now = parts_.clock->TimeNow();
      completions = RunCommands(now);
      stop = stopping_ && commands_.empty();
      if (!must_reload_) {
        table_.ExpireLeases(now);
        AnswerSyncs(now, completions);
        changes = table_.TakeChanges();
      }
      wake = must_reload_ ? now + kReloadInterval : table_.NextDeadline(now);
      for (const auto& [ticket, sync] : parked_) {
        wake = std::min(wake, sync.deadline);
      }
    }
    StoreAndAnswer(std::move(changes), std::move(completions));
  }
  absl::MutexLock lock(&mu_);
  CONDENSE_CHECK(parked_.empty());
}

std::vector<Dispatcher::Completion> Dispatcher::RunCommands(absl::Time now) {
  std::vector<Completion> completions;
  if (must_reload_) {
    if (const absl::Status status = Reload(); !status.ok()) {
      for (auto& [command, refused] : commands_) {
        completions.push_back([refused = std::move(refused), status](
                                  const absl::Status&) { refused(status); });
      }
      commands_.clear();
      return completions;
    }
  }
  for (size_t i = 0; i < kMaxBatch && !commands_.empty(); ++i) {
    Command command = std::move(commands_.front().first);
    commands_.pop_front();
    if (Completion completion = command(now)) {
      completions.push_back(std::move(completion));
    }
  }
  return completions;
}

void Dispatcher::AnswerSyncs(absl::Time now,
                             std::vector<Completion>& completions) {
  std::vector<std::string> waiting;
  for (const auto& [ticket, sync] : parked_) {
    waiting.push_back(sync.request.worker().name());
  }
  if (!stopping_) table_.Dispatch(waiting, now);
  for (auto it = parked_.begin(); it != parked_.end();) {
    ParkedSync& sync = it->second;
    if (stopping_) {
      completions.push_back(
          Answer<v1::SyncResponse>(std::move(sync.done), ServerStopping()));
      it = parked_.erase(it);
      continue;
    }
    v1::SyncResponse wish = table_.WishFor(sync.request);
    if (wish.wish_version() == sync.request.known_version() &&
        now < sync.deadline) {
      ++it;
      continue;
    }
    completions.push_back(
        Answer<v1::SyncResponse>(std::move(sync.done), std::move(wish)));
    it = parked_.erase(it);
  }
}

void Dispatcher::StoreAndAnswer(std::vector<JobChange> changes,
                                std::vector<Completion> completions) {
  absl::Status stored;
  if (!changes.empty()) {
    stored = parts_.jobs->Commit(changes);
    absl::MutexLock lock(&mu_);
    if (!stored.ok()) {
      CONDENSE_LOG(kError, "nothing was stored: ", stored.message());
      must_reload_ = true;
    } else {
      for (const JobChange& change : changes) {
        const v1::Job::State state = change.record.job.state();
        if (IsFinal(state)) ++finished_[state];
      }
    }
  }
  if (stored.ok()) parts_.hub->Publish(changes);
  for (const Completion& completion : completions) completion(stored);
}

absl::StatusOr<v1::Job> Dispatcher::CreateNow(const std::string& project,
                                              JobRecord record,
                                              absl::Time now) {
  const std::string request_id = record.job.request_id();
  if (!request_id.empty()) {
    std::optional<JobRecord> before;
    if (const JobRecord* live = table_.FindByRequest(project, request_id)) {
      before = *live;
    } else {
      CONDENSE_ASSIGN_OR_RETURN(
          before, parts_.jobs->FindByRequest(project, request_id));
    }
    if (before.has_value()) {
      if (before->request_fingerprint != record.request_fingerprint) {
        return RequestIdReused(request_id);
      }
      return before->job;
    }
  }
  for (int i = 0; i < kNameTries; ++i) {
    const std::string name = NewJobName(project, random_);
    if (table_.Find(name) != nullptr) continue;
    const absl::Status taken = parts_.jobs->Get(name).status();
    if (taken.ok()) continue;
    if (!absl::IsNotFound(taken)) return taken;
    record.job.set_name(name);
    record.job.set_uid(NewUuid(random_));
    table_.Add(std::move(record), now);
    return table_.Find(name)->job;
  }
  return StoreFailed("find a free name for the job", project);
}

void Dispatcher::CreateJob(std::string project, JobRecord record,
                           Done<v1::Job> done) {
  Completion refused = Refuse<v1::Job>(done);
  Post(
      [this, project = std::move(project), record = std::move(record),
       done = std::move(done)](absl::Time now) {
        mu_.AssertHeld();
        absl::StatusOr<v1::Job> job = CreateNow(project, record, now);
        if (job.ok()) table_.Annotate(*job, now);
        return Answer<v1::Job>(done, std::move(job));
      },
      std::move(refused));
}

void Dispatcher::CancelJob(std::string name, Done<v1::Job> done) {
  Completion refused = Refuse<v1::Job>(done);
  Post(
      [this, name = std::move(name), done = std::move(done)](absl::Time now) {
        mu_.AssertHeld();
        if (table_.Find(name) != nullptr) {
          return Answer<v1::Job>(done, table_.Cancel(name, now));
        }
        absl::StatusOr<JobRecord> record = parts_.jobs->Get(name);
        if (!record.ok()) return Answer<v1::Job>(done, record.status());
        return Answer<v1::Job>(done, std::move(record->job));
      },
      std::move(refused));
}

void Dispatcher::ReportEvents(v1::ReportEventsRequest request,
                              Done<int64_t> done) {
  Completion refused = Refuse<int64_t>(done);
  Post(
      [this, request = std::move(request),
       done = std::move(done)](absl::Time now) {
        mu_.AssertHeld();
        return Answer<int64_t>(done, table_.ReportEvents(request, now));
      },
      std::move(refused));
}

absl::Status Dispatcher::CompleteNow(const v1::CompleteLeaseRequest& request,
                                     absl::Time now) {
  if (table_.Find(request.lease().job()) == nullptr) {
    absl::StatusOr<JobRecord> record = parts_.jobs->Get(request.lease().job());
    if (record.ok() &&
        JobTable::IsCompleted(record->job, request.lease().epoch())) {
      return absl::OkStatus();
    }
  }
  return table_.CompleteLease(request, now);
}

void Dispatcher::CompleteLease(v1::CompleteLeaseRequest request,
                               Done<bool> done) {
  Completion refused = Refuse<bool>(done);
  Post(
      [this, request = std::move(request),
       done = std::move(done)](absl::Time now) {
        mu_.AssertHeld();
        const absl::Status status = CompleteNow(request, now);
        return Answer<bool>(done,
                            status.ok() ? absl::StatusOr<bool>(true) : status);
      },
      std::move(refused));
}

int64_t Dispatcher::Sync(v1::SyncRequest request, Done<v1::SyncResponse> done) {
  int64_t ticket = 0;
  {
    absl::MutexLock lock(&mu_);
    ticket = next_ticket_++;
  }
  Completion refused = Refuse<v1::SyncResponse>(done);
  Post(
      [this, ticket, request = std::move(request),
       done = std::move(done)](absl::Time now) -> Completion {
        mu_.AssertHeld();
        table_.HeardFrom(request, now);
        parked_[ticket] = {
            .request = request, .deadline = now + lease_ / 3, .done = done};
        return nullptr;
      },
      std::move(refused));
  return ticket;
}

void Dispatcher::CancelSync(int64_t ticket) {
  Post(
      [this, ticket](absl::Time now) -> Completion {
        mu_.AssertHeld();
        auto it = parked_.find(ticket);
        if (it == parked_.end()) return nullptr;
        Done<v1::SyncResponse> done = std::move(it->second.done);
        parked_.erase(it);
        return Answer<v1::SyncResponse>(std::move(done),
                                        absl::CancelledError("agent is gone"));
      },
      [](const absl::Status&) {});
}

void Dispatcher::Annotate(v1::Job& job) {
  absl::MutexLock lock(&mu_);
  table_.Annotate(job, parts_.clock->TimeNow());
}

std::vector<v1::Worker> Dispatcher::ListWorkers() {
  absl::MutexLock lock(&mu_);
  return table_.workers().List(parts_.clock->TimeNow());
}

ServerGauges Dispatcher::Gauges() {
  absl::MutexLock lock(&mu_);
  ServerGauges gauges = table_.Gauges(parts_.clock->TimeNow());
  for (const auto& [state, count] : finished_) gauges.jobs[state] += count;
  gauges.watch_streams = parts_.hub->watchers();
  return gauges;
}

}  // namespace condense
