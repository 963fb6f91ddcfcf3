#include "client/cli/follow.h"

#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "client/cli/job_view.h"
#include "client/cli/output.h"
#include "client/cli/render.h"
#include "client/cli/screen.h"
#include "common/error.h"
#include "common/status_macros.h"

namespace condense::cli {
namespace {

// Draws a job's view ten times a second at most, and once a second when nothing
// happens, from a thread of its own. Thread-safe.
class LiveDisplay {
 public:
  LiveDisplay(std::ostream* out, int fd, std::string short_name)
      : fd_(fd), screen_(out) {
    view_.short_name = std::move(short_name);
    thread_ = std::thread([this] { Run(); });
  }
  ~LiveDisplay() { Stop(); }

  void Add(const v1::JobEvent& event) {
    absl::MutexLock lock(&mu_);
    Apply(event, &view_);
    dirty_ = true;
  }
  // Draws the last picture. Nothing is drawn after it.
  void Stop() {
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  void Run() {
    for (bool stopping = false; !stopping;) {
      JobView view;
      {
        absl::MutexLock lock(&mu_);
        stopping = stopping_;
        dirty_ = false;
        view = view_;
      }
      Draw(view);
      absl::MutexLock lock(&mu_);
      if (stopping) break;
      // No sooner than a tenth of a second after the picture before ...
      mu_.AwaitWithTimeout(absl::Condition(&stopping_),
                           absl::Milliseconds(100));
      // ... and then as soon as there is something new.
      mu_.AwaitWithTimeout(absl::Condition(this, &LiveDisplay::HasNews),
                           absl::Milliseconds(900));
    }
  }
  bool HasNews() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return dirty_ || stopping_;
  }
  void Draw(const JobView& view) {
    const TerminalSize size = SizeOfTerminal(fd_);
    screen_.Draw(RenderLive(view, {.width = size.width,
                                   .height = size.height,
                                   .unicode = LocaleIsUtf8(),
                                   .color = true,
                                   .now = absl::Now()}),
                 size.width);
  }

  const int fd_;
  Screen screen_;  // Used by the thread only.
  absl::Mutex mu_;
  JobView view_ ABSL_GUARDED_BY(mu_);
  bool dirty_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

// Prints events as lines.
class PlainDisplay {
 public:
  explicit PlainDisplay(std::ostream* out) : out_(out) {}
  void Add(const v1::JobEvent& event) {
    for (const std::string& line : PlainLines(view_, event)) {
      *out_ << line << "\n";
    }
    out_->flush();
    Apply(event, &view_);
  }

 private:
  std::ostream* out_;
  JobView view_;
};

}  // namespace

absl::StatusOr<v1::Job> Follow(const Context& context, client::Client& client,
                               const std::string& job, int64_t from_sequence,
                               FollowMode mode) {
  std::unique_ptr<LiveDisplay> live;
  PlainDisplay plain(context.out);
  if (mode == FollowMode::kText && IsLiveTerminal(context.out_fd)) {
    live = std::make_unique<LiveDisplay>(context.out, context.out_fd,
                                         client::Client::ShortName(job));
  }
  bool away = false;
  client::Client::WatchCallbacks callbacks;
  callbacks.on_event = [&](const v1::JobEvent& event) {
    away = false;
    if (live != nullptr) {
      live->Add(event);
    } else if (mode == FollowMode::kText) {
      plain.Add(event);
    } else if (mode == FollowMode::kEvents) {
      *context.out << ToJson(event) << "\n" << std::flush;
    }
    return true;
  };
  callbacks.on_retry = [&](const absl::Status&) {
    // Once per loss, and never into a live picture.
    if (!away && live == nullptr && !context.json) {
      *context.err << "the server is away; trying again for "
                   << absl::FormatDuration(client.options().watch_retry) << "\n"
                   << std::flush;
    }
    away = true;
  };
  const absl::Status status = client.Watch(job, from_sequence, callbacks);
  live.reset();
  CONDENSE_RETURN_IF_ERROR(status);
  return client.GetJob(job);
}

}  // namespace condense::cli
