#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_EVENT_SINK_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_EVENT_SINK_H_

#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "condense/v1/engine.pb.h"

namespace condense::pipeline {

// Where the engine's messages go. Thread-safe.
class EventSink {
 public:
  virtual ~EventSink() = default;
  // Never fails: a reader that is gone is noticed on the command pipe.
  virtual void Send(const v1::EngineEvent& event) = 0;
};

// Length-delimited messages on a file descriptor that it does not own.
std::unique_ptr<EventSink> MakePipeSink(int fd);
// One JSON object per line (a JobEvent; the last line is Done).
std::unique_ptr<EventSink> MakeJsonSink(std::FILE* out);
// For a person: a line per phase and figure, and one that is drawn over and
// over while training.
std::unique_ptr<EventSink> MakeTerminalSink(std::FILE* out);

// Words events for the rooms of the pipeline, keeps the phase, thins out
// progress (at most ten a second) and collects what the report shows later.
// Thread-safe.
class Narrator {
 public:
  // `sink` must outlive the narrator.
  explicit Narrator(EventSink* sink) : sink_(sink) {}

  void Phase(v1::Job::Phase phase);
  v1::Job::Phase phase() const;
  // `profile` may be empty. Values go into the report's curves when `step` is
  // given; a curve keeps every value.
  void Metric(absl::string_view name, double value,
              std::optional<int64_t> step = std::nullopt,
              absl::string_view profile = "");
  // `force` sends it whatever the time since the last one.
  void Progress(const v1::Progress& progress, bool force = false);
  void Log(absl::string_view message);
  void Warn(absl::string_view reason, absl::string_view message,
            absl::string_view node = "");
  void Send(const v1::EngineEvent& event) { sink_->Send(event); }

  // Sentences of all warnings so far.
  std::vector<std::string> warnings() const;
  // Points of metrics that had a step, by name.
  std::map<std::string, std::vector<std::pair<int64_t, double>>> curves() const;
  // What a checkpoint kept of them.
  void Restore(
      std::map<std::string, std::vector<std::pair<int64_t, double>>> curves,
      std::vector<std::string> warnings);

 private:
  v1::EngineEvent NewEvent(absl::string_view type) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  EventSink* const sink_;
  mutable absl::Mutex mu_;
  v1::Job::Phase phase_ ABSL_GUARDED_BY(mu_) = v1::Job::PHASE_UNSPECIFIED;
  absl::Time last_progress_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  std::vector<std::string> warnings_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::vector<std::pair<int64_t, double>>> curves_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_EVENT_SINK_H_
