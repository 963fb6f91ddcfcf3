#include "workers/engine/pipeline/event_sink.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/framing.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/time_util.h"

namespace condense::pipeline {
namespace {

constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);

class PipeSink : public EventSink {
 public:
  explicit PipeSink(int fd) : fd_(fd) {}
  void Send(const v1::EngineEvent& event) override {
    absl::MutexLock lock(&mu_);
    WriteMessage(fd_, event).IgnoreError();
  }

 private:
  const int fd_;
  absl::Mutex mu_;  // one message at a time
};

class JsonSink : public EventSink {
 public:
  explicit JsonSink(std::FILE* out) : out_(out) {}
  void Send(const v1::EngineEvent& event) override {
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    std::string json;
    const google::protobuf::Message& message =
        event.has_event()
            ? static_cast<const google::protobuf::Message&>(event.event())
            : event;
    if (event.has_stats()) return;
    if (!google::protobuf::util::MessageToJsonString(message, &json, options)
             .ok()) {
      return;
    }
    absl::MutexLock lock(&mu_);
    std::fprintf(out_, "%s\n", json.c_str());
    std::fflush(out_);
  }

 private:
  std::FILE* const out_;
  absl::Mutex mu_;  // one line at a time
};

class TerminalSink : public EventSink {
 public:
  explicit TerminalSink(std::FILE* out) : out_(out) {}
  void Send(const v1::EngineEvent& event) override {
    absl::MutexLock lock(&mu_);
    if (event.has_artifact()) {
      Line(absl::StrCat(
          "artifact ", event.artifact().artifact().profile(), ": ",
          v1::Artifact::Verdict_Name(event.artifact().artifact().verdict()),
          "  ", event.artifact().path()));
    } else if (event.has_event()) {
      Show(event.event());
    } else if (event.has_done()) {
      Line(absl::StrCat("done: ",
                        v1::Done::Outcome_Name(event.done().outcome())));
    }
    std::fflush(out_);
  }

 private:
  void Show(const v1::JobEvent& event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (event.type() == "phase") {
      Line(v1::Job::Phase_Name(event.phase()));
    } else if (event.type() == "progress") {
      Bar(event.progress());
    } else if (event.type() == "metric" && event.metric().has_step()) {
      last_metric_ = absl::StrFormat("%s %.4f", event.metric().name(),
                                     event.metric().value());
    } else if (event.type() == "metric") {
      Line(absl::StrFormat("  %s%s%s = %.6g", event.metric().profile(),
                           event.metric().profile().empty() ? "" : " ",
                           event.metric().name(), event.metric().value()));
    } else if (event.type() == "log") {
      Line(absl::StrCat("  ", event.log().message()));
    } else if (event.type() == "warning") {
      Line(absl::StrCat("  warning: ", event.warning().message()));
    }
  }

  void Line(absl::string_view text) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::fprintf(out_, "\r\x1b[K%s\n", std::string(text).c_str());
  }

  void Bar(const v1::Progress& progress) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    constexpr int kWidth = 30;
    const int full = static_cast<int>(kWidth * progress.fraction());
    std::fprintf(
        out_, "\r\x1b[K  [%s%s] %3.0f %%  step %d/%d  %s",
        std::string(full, '#').c_str(), std::string(kWidth - full, '.').c_str(),
        100 * progress.fraction(), static_cast<int>(progress.step()),
        static_cast<int>(progress.total_steps()), last_metric_.c_str());
  }

  std::FILE* const out_;
  absl::Mutex mu_;
  std::string last_metric_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

std::unique_ptr<EventSink> MakePipeSink(int fd) {
  return std::make_unique<PipeSink>(fd);
}
std::unique_ptr<EventSink> MakeJsonSink(std::FILE* out) {
  return std::make_unique<JsonSink>(out);
}
std::unique_ptr<EventSink> MakeTerminalSink(std::FILE* out) {
  return std::make_unique<TerminalSink>(out);
}

v1::EngineEvent Narrator::NewEvent(absl::string_view type) const {
  v1::EngineEvent event;
  *event.mutable_event()->mutable_time() =
      google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
          absl::ToUnixNanos(absl::Now()));
  event.mutable_event()->set_type(std::string(type));
  event.mutable_event()->set_phase(phase_);
  return event;
}

void Narrator::Phase(v1::Job::Phase phase) {
  v1::EngineEvent event;
  {
    absl::MutexLock lock(&mu_);
    if (phase_ == phase) return;
    phase_ = phase;
    event = NewEvent("phase");
  }
  sink_->Send(event);
}

v1::Job::Phase Narrator::phase() const {
  absl::MutexLock lock(&mu_);
  return phase_;
}

void Narrator::Metric(absl::string_view name, double value,
                      std::optional<int64_t> step, absl::string_view profile) {
  v1::EngineEvent event;
  {
    absl::MutexLock lock(&mu_);
    event = NewEvent("metric");
    if (step.has_value()) {
      curves_[std::string(name)].emplace_back(*step, value);
    }
  }
  v1::Metric& metric = *event.mutable_event()->mutable_metric();
  metric.set_name(std::string(name));
  metric.set_value(value);
  metric.set_profile(std::string(profile));
  if (step.has_value()) metric.set_step(*step);
  sink_->Send(event);
}

void Narrator::Progress(const v1::Progress& progress, bool force) {
  v1::EngineEvent event;
  {
    absl::MutexLock lock(&mu_);
    const absl::Time now = absl::Now();
    if (!force && now - last_progress_ < kProgressInterval) return;
    last_progress_ = now;
    event = NewEvent("progress");
  }
  *event.mutable_event()->mutable_progress() = progress;
  sink_->Send(event);
}

void Narrator::Log(absl::string_view message) {
  v1::EngineEvent event;
  {
    absl::MutexLock lock(&mu_);
    event = NewEvent("log");
  }
  event.mutable_event()->mutable_log()->set_severity(v1::Log::INFO);
  event.mutable_event()->mutable_log()->set_message(std::string(message));
  sink_->Send(event);
}

void Narrator::Warn(absl::string_view reason, absl::string_view message,
                    absl::string_view node) {
  v1::EngineEvent event;
  {
    absl::MutexLock lock(&mu_);
    warnings_.emplace_back(message);
    event = NewEvent("warning");
  }
  v1::Warning& warning = *event.mutable_event()->mutable_warning();
  warning.set_reason(std::string(reason));
  warning.set_message(std::string(message));
  warning.set_node(std::string(node));
  sink_->Send(event);
}

std::vector<std::string> Narrator::warnings() const {
  absl::MutexLock lock(&mu_);
  return warnings_;
}

std::map<std::string, std::vector<std::pair<int64_t, double>>>
Narrator::curves() const {
  absl::MutexLock lock(&mu_);
  return curves_;
}

void Narrator::Restore(
    std::map<std::string, std::vector<std::pair<int64_t, double>>> curves,
    std::vector<std::string> warnings) {
  absl::MutexLock lock(&mu_);
  curves_ = std::move(curves);
  warnings_ = std::move(warnings);
}

}  // namespace condense::pipeline
