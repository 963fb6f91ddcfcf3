#ifndef CONDENSE_CLIENT_CLI_JOB_VIEW_H_
#define CONDENSE_CLIENT_CLI_JOB_VIEW_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "condense/v1/event.pb.h"

namespace condense::cli {

// A figure that was reported during one phase.
struct MetricTrack {
  double first = 0;
  double last = 0;
  int64_t last_step = 0;
  int count = 0;
};

// One phase that the job went through.
struct PhaseView {
  v1::Job::Phase phase = v1::Job::PHASE_UNSPECIFIED;
  absl::Time start;
  // Absent while it lasts.
  std::optional<absl::Time> end;
  // False: it was cut short by a failure, a cancel or a lost worker.
  bool completed = true;
  // By name. Those without a step count once.
  std::map<std::string, MetricTrack> metrics;
};

// What a watcher knows of a job: its events, folded. A value.
struct JobView {
  // "j-8f3k2".
  std::string short_name;
  v1::Job::State state = v1::Job::STATE_UNSPECIFIED;
  int attempt = 0;
  // Of the first event; absent before it.
  std::optional<absl::Time> start;
  // Of the event of the final state.
  std::optional<absl::Time> end;
  std::vector<PhaseView> phases;
  v1::Progress progress;
  std::vector<v1::Warning> warnings;
  std::vector<v1::Artifact> artifacts;
  v1::Error error;
};

// Takes one event in.
void Apply(const v1::JobEvent& event, JobView* view);

// True for names such as "top1" and "compressed.top1": a quality between 0 and
// 1, of which more is better.
bool IsQuality(const std::string& metric);

// "Baseline evaluation".
std::string PhaseTitle(v1::Job::Phase phase);

}  // namespace condense::cli

#endif  // CONDENSE_CLIENT_CLI_JOB_VIEW_H_
