#include "server/rpc/watch_reactor.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/grpc_status.h"
#include "server/core/errors.h"
#include "server/core/job_record.h"
#include "server/core/resource_names.h"

namespace condense {
namespace {

constexpr int kBatch = 64;

class WatchReactor : public grpc::ServerWriteReactor<v1::JobEvent> {
 public:
  WatchReactor(WatchParts parts, const v1::WatchJobRequest& request)
      : parts_(parts),
        job_(request.name()),
        handle_(std::make_shared<Handle>()),
        next_(std::max<int64_t>(request.from_sequence(), 1)) {}

  void Begin() {
    if (absl::Status status = CheckJobName(job_, "name"); !status.ok()) {
      Finish(ToGrpc(status));
      return;
    }
    absl::MutexLock lock(&handle_->mu);
    handle_->reactor = this;
    watch_id_ = parts_.hub->Watch(job_, [handle = handle_] {
      absl::MutexLock lock(&handle->mu);
      if (handle->reactor != nullptr) handle->reactor->Woken();
    });
    AskStore();
  }

  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&handle_->mu);
    busy_ = false;
    const v1::JobEvent& sent = *batch_.front();
    const bool last = sent.type() == "state" && IsFinal(sent.state());
    batch_.pop_front();
    if (!ok) {
      End(absl::CancelledError("the watcher is gone"));
    } else if (last) {
      End(absl::OkStatus());
    } else {
      Pump();
    }
  }

  void OnCancel() override {
    absl::MutexLock lock(&handle_->mu);
    cancelled_ = true;
    if (!busy_) Pump();
  }

  void OnDone() override {
    if (watch_id_ != 0) parts_.hub->Unwatch(job_, watch_id_);
    {
      absl::MutexLock lock(&handle_->mu);
      handle_->reactor = nullptr;
    }
    delete this;
  }

 private:
  // Shared with the hub, which may call after the stream has gone.
  struct Handle {
    absl::Mutex mu;
    WatchReactor* reactor ABSL_GUARDED_BY(mu) = nullptr;
  };

  // All below: with handle_->mu held.

  void Woken() {
    woken_ = true;
    if (!busy_) Pump();
  }

  void End(const absl::Status& status) {
    if (ended_) return;
    ended_ = true;
    Finish(ToGrpc(status));
  }

  // Does the next thing, if nothing is under way.
  void Pump() {
    if (ended_ || busy_) return;
    if (cancelled_) {
      return End(absl::CancelledError("the watcher is gone"));
    }
    if (parts_.hub->stopping()) return End(ServerStopping());
    if (batch_.empty()) Refill();
    if (batch_.empty() || busy_) return;
    busy_ = true;
    StartWrite(batch_.front().get());
  }

  void Refill() {
    woken_ = false;
    WatchHub::Recent recent = parts_.hub->Read(job_, next_, kBatch);
    if (recent.ask_store) return AskStore();
    Take(std::move(recent.events));
  }

  void Take(std::vector<WatchHub::Event> events) {
    if (!events.empty()) next_ = events.back()->sequence() + 1;
    batch_.insert(batch_.end(), events.begin(), events.end());
  }

  void AskStore() {
    busy_ = true;
    parts_.pool->Post([this] { ReadStore(); });
  }

  // On the pool's thread, without the lock.
  void ReadStore() {
    // The job first: a final state read now has all its events stored.
    absl::StatusOr<JobRecord> record = parts_.jobs->Get(job_);
    absl::StatusOr<std::vector<v1::JobEvent>> events =
        record.ok()
            ? parts_.jobs->ReadEvents(job_, next_, kBatch)
            : absl::StatusOr<std::vector<v1::JobEvent>>(record.status());
    absl::MutexLock lock(&handle_->mu);
    busy_ = false;
    if (!events.ok()) return End(events.status());
    if (events->empty()) {
      if (IsFinal(record->job.state())) return End(absl::OkStatus());
      if (!woken_) return Idle();
    }
    std::vector<WatchHub::Event> shared;
    for (v1::JobEvent& event : *events) {
      shared.push_back(std::make_shared<const v1::JobEvent>(std::move(event)));
    }
    Take(std::move(shared));
    Pump();
  }

  // Nothing to send: until the hub calls.
  void Idle() {
    if (cancelled_ || parts_.hub->stopping()) Pump();
  }

  const WatchParts parts_;
  const std::string job_;
  const std::shared_ptr<Handle> handle_;
  int64_t watch_id_ = 0;
  // The sequence number wanted next after those of the batch.
  int64_t next_;
  std::deque<WatchHub::Event> batch_;
  // A write or a read of the store is under way.
  bool busy_ = false;
  // The hub has called since the last look.
  bool woken_ = false;
  bool cancelled_ = false;
  bool ended_ = false;
};

}  // namespace

grpc::ServerWriteReactor<v1::JobEvent>* NewWatchReactor(
    WatchParts parts, const v1::WatchJobRequest& request) {
  auto* reactor = new WatchReactor(parts, request);
  reactor->Begin();
  return reactor;
}

}  // namespace condense
