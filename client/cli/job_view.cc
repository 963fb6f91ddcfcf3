#include "client/cli/job_view.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"

namespace condense::cli {
namespace {

absl::Time TimeOf(const v1::JobEvent& event) {
  return absl::FromUnixSeconds(event.time().seconds()) +
         absl::Nanoseconds(event.time().nanos());
}

void EndPhase(absl::Time now, bool completed, JobView* view) {
  if (view->phases.empty() || view->phases.back().end.has_value()) return;
  view->phases.back().end = now;
  view->phases.back().completed = completed;
}

void ApplyPhase(v1::Job::Phase phase, absl::Time now, JobView* view) {
  EndPhase(now, true, view);
  view->phases.push_back({.phase = phase, .start = now});
  // Steps count within a stage; the fraction is of the whole job.
  view->progress.clear_step();
  view->progress.clear_total_steps();
  view->progress.clear_epoch();
}

void ApplyState(const v1::JobEvent& event, absl::Time now, JobView* view) {
  view->state = event.state();
  switch (event.state()) {
    case v1::Job::SUCCEEDED:
      EndPhase(now, true, view);
      view->end = now;
      break;
    case v1::Job::FAILED:
      view->error = event.error();
      [[fallthrough]];
    case v1::Job::CANCELLED:
      EndPhase(now, false, view);
      view->end = now;
      break;
    case v1::Job::QUEUED:
      EndPhase(now, false, view);
      break;
    default:
      break;
  }
}

void ApplyMetric(const v1::Metric& metric, JobView* view) {
  if (view->phases.empty() || !metric.has_value()) return;
  auto [it, is_new] = view->phases.back().metrics.try_emplace(metric.name());
  MetricTrack& track = it->second;
  if (is_new) track.first = metric.value();
  track.last = metric.value();
  track.last_step = metric.step();
  ++track.count;
}

}  // namespace

void Apply(const v1::JobEvent& event, JobView* view) {
  const absl::Time now = TimeOf(event);
  if (!view->start.has_value()) view->start = now;
  if (event.attempt() > 0) view->attempt = event.attempt();
  const std::string& type = event.type();
  if (type == "state") ApplyState(event, now, view);
  if (type == "phase") ApplyPhase(event.phase(), now, view);
  if (type == "metric") ApplyMetric(event.metric(), view);
  if (type == "progress") view->progress.MergeFrom(event.progress());
  if (type == "warning") view->warnings.push_back(event.warning());
  if (type == "artifact") view->artifacts.push_back(event.artifact());
}

bool IsQuality(const std::string& metric) {
  for (const char* name :
       {"top1", "accuracy", "top5", "rank1", "tar_at_far_1e-3", "f1", "miou"}) {
    if (metric == name || absl::EndsWith(metric, std::string(".") + name)) {
      return true;
    }
  }
  return false;
}

std::string PhaseTitle(v1::Job::Phase phase) {
  if (phase == v1::Job::QAT) return "Quantization-aware training";
  if (phase == v1::Job::PHASE_UNSPECIFIED) return "Working";
  std::string title = absl::AsciiStrToLower(v1::Job::Phase_Name(phase));
  title = absl::StrReplaceAll(title, {{"_", " "}});
  title[0] = absl::ascii_toupper(static_cast<unsigned char>(title[0]));
  return title;
}

}  // namespace condense::cli
