#include "client/cli/render.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/output.h"

namespace condense::cli {
namespace {

constexpr char kReset[] = "\x1b[0m";
constexpr char kBold[] = "\x1b[1m";
constexpr char kDim[] = "\x1b[2m";
constexpr char kRed[] = "\x1b[31m";
constexpr char kGreen[] = "\x1b[32m";
constexpr char kYellow[] = "\x1b[33m";
constexpr char kCyan[] = "\x1b[36m";

class Painter {
 public:
  explicit Painter(const RenderOptions& options) : options_(options) {}
  std::string operator()(const char* color, const std::string& text) const {
    return options_.color ? absl::StrCat(color, text, kReset) : text;
  }
  // The first where the terminal shows Unicode.
  std::string Glyph(const char* unicode, const char* ascii) const {
    return options_.unicode ? unicode : ascii;
  }

 private:
  const RenderOptions& options_;
};

const char* ColorOf(v1::Job::State state) {
  switch (state) {
    case v1::Job::SUCCEEDED:
      return kGreen;
    case v1::Job::FAILED:
      return kRed;
    case v1::Job::CANCELLED:
    case v1::Job::CANCELLING:
    case v1::Job::QUEUED:
      return kYellow;
    default:
      return kCyan;
  }
}

std::string Seconds(absl::Duration duration) {
  if (duration >= absl::Minutes(1)) return HumanDuration(duration);
  return absl::StrFormat("%.1f s",
                         std::max(0.0, absl::ToDoubleSeconds(duration)));
}

// "loss 0.231", "top1 97.8 %".
std::string MetricText(const std::string& name, double value) {
  if (absl::EndsWith(name, "size_bytes")) {
    return absl::StrCat(name, " ", HumanBytes(static_cast<int64_t>(value)));
  }
  return absl::StrCat(
      name, " ",
      IsQuality(name) ? Percent(value, 2) : absl::StrFormat("%.4g", value));
}

// The loss and the newest quality of a phase.
std::string KeyMetrics(const PhaseView& phase) {
  std::vector<std::string> parts;
  for (const auto& [name, track] : phase.metrics) {
    if (name == "loss") parts.push_back(MetricText(name, track.last));
  }
  for (const auto& [name, track] : phase.metrics) {
    if (IsQuality(name)) {
      parts.push_back(MetricText(name, track.last));
      break;
    }
  }
  return absl::StrJoin(parts, "  ");
}

std::string StateLine(const JobView& view, const RenderOptions& options,
                      const Painter& paint) {
  std::string line = absl::StrCat(
      paint(kBold, view.short_name), "  ",
      paint(ColorOf(view.state), view.state == v1::Job::STATE_UNSPECIFIED
                                     ? "connecting"
                                     : v1::Job::State_Name(view.state)));
  if (view.attempt > 1) absl::StrAppend(&line, "  attempt ", view.attempt);
  if (view.start.has_value()) {
    absl::StrAppend(
        &line, "  ",
        HumanDuration(view.end.value_or(options.now) - *view.start));
  }
  return line;
}

std::string PhaseLine(const PhaseView& phase, const RenderOptions& options,
                      const Painter& paint) {
  std::string mark = paint(kCyan, paint.Glyph("▸", ">"));
  if (phase.end.has_value()) {
    mark = phase.completed ? paint(kGreen, paint.Glyph("✓", "+"))
                           : paint(kRed, paint.Glyph("✗", "x"));
  }
  std::string line = absl::StrCat(
      "  ", mark, " ", absl::StrFormat("%-28s", PhaseTitle(phase.phase)),
      absl::StrFormat("%8s",
                      Seconds(phase.end.value_or(options.now) - phase.start)));
  const std::string metrics = KeyMetrics(phase);
  if (phase.end.has_value() && !metrics.empty()) {
    absl::StrAppend(&line, "  ", paint(kDim, metrics));
  }
  return line;
}

// The bar and the figures of what goes on now.
std::string ProgressLine(const JobView& view, const RenderOptions& options,
                         const Painter& paint) {
  const v1::Progress& progress = view.progress;
  std::string figures;
  if (progress.has_step() && progress.total_steps() > 0) {
    absl::StrAppend(&figures, "  step ", progress.step(), "/",
                    progress.total_steps());
  }
  if (!view.phases.empty()) {
    const std::string metrics = KeyMetrics(view.phases.back());
    if (!metrics.empty()) absl::StrAppend(&figures, "  ", metrics);
  }
  if (progress.has_eta_seconds()) {
    absl::StrAppend(&figures, "  ETA ",
                    HumanDuration(absl::Seconds(progress.eta_seconds())));
  }
  const double fraction = std::clamp(progress.fraction(), 0.0, 1.0);
  const std::string percent = absl::StrFormat(" %3.0f %%", fraction * 100);
  const int room =
      options.width - 4 - DisplayWidth(figures) - DisplayWidth(percent) - 1;
  const int width = std::clamp(room, 0, 40);
  std::string bar = width >= 6 ? Bar(fraction, width, options.unicode) : "";
  return absl::StrCat("    ", paint(kCyan, bar), percent, figures);
}

std::string VerdictLine(const v1::Artifact& artifact, const Painter& paint) {
  const bool passed = artifact.verdict() == v1::Artifact::PASSED;
  return absl::StrCat("  ", paint.Glyph("◆", "*"), " ", artifact.profile(),
                      "  ",
                      paint(passed ? kGreen : kYellow,
                            v1::Artifact::Verdict_Name(artifact.verdict())));
}

// The lines below the phases.
std::vector<std::string> Footer(const JobView& view,
                                const RenderOptions& options,
                                const Painter& paint) {
  std::vector<std::string> lines;
  const bool shows_bar =
      view.state == v1::Job::RUNNING &&
      (view.progress.has_fraction() || view.progress.has_step());
  if (shows_bar) lines.push_back(ProgressLine(view, options, paint));
  constexpr size_t kMostWarnings = 3;
  const size_t hidden = view.warnings.size() > kMostWarnings
                            ? view.warnings.size() - kMostWarnings
                            : 0;
  if (hidden > 0) {
    lines.push_back(
        paint(kYellow, absl::StrCat("  ! ", hidden, " more warnings before")));
  }
  for (size_t i = hidden; i < view.warnings.size(); ++i) {
    lines.push_back(absl::StrCat("  ", paint(kYellow, "!"), " ",
                                 view.warnings[i].message()));
  }
  for (const v1::Artifact& artifact : view.artifacts) {
    lines.push_back(VerdictLine(artifact, paint));
  }
  return lines;
}

void AddPhaseSummary(const PhaseView& phase, absl::Time end,
                     std::vector<std::string>* texts) {
  std::vector<std::string> parts;
  for (const auto& [name, track] : phase.metrics) {
    if (track.count < 2) continue;  // Printed when it came.
    parts.push_back(absl::StrCat(MetricText(name, track.last), " (first ",
                                 IsQuality(name)
                                     ? Percent(track.first, 2)
                                     : absl::StrFormat("%.4g", track.first),
                                 ", ", track.count, " values)"));
  }
  if (parts.empty()) return;
  texts->push_back(absl::StrCat("metrics  ", v1::Job::Phase_Name(phase.phase),
                                ": ", absl::StrJoin(parts, ", ")));
}

std::string StateText(const v1::JobEvent& event) {
  std::string text =
      absl::StrCat("state    ", v1::Job::State_Name(event.state()));
  if (event.attempt() > 0 && event.state() == v1::Job::RUNNING) {
    absl::StrAppend(&text, " (attempt ", event.attempt(), ")");
  }
  if (event.state() == v1::Job::FAILED) {
    absl::StrAppend(&text, " ", event.error().code(), " ",
                    event.error().reason(), ": ", event.error().message());
  }
  return text;
}

std::string WarningText(const v1::Warning& warning) {
  return absl::StrCat("warning  ", warning.reason(), ": ", warning.message(),
                      warning.node().empty() ? "" : " (node ", warning.node(),
                      warning.node().empty() ? "" : ")");
}

// A metric with a step is only printed as part of its phase's summary.
bool IsSummed(const v1::Metric& metric) { return metric.has_step(); }

std::vector<std::string> Texts(const JobView& before, const v1::JobEvent& event,
                               absl::Time now) {
  std::vector<std::string> texts;
  const std::string& type = event.type();
  const bool ends_phase = type == "phase" || type == "state";
  if (ends_phase && !before.phases.empty() &&
      !before.phases.back().end.has_value()) {
    AddPhaseSummary(before.phases.back(), now, &texts);
  }
  if (type == "state") texts.push_back(StateText(event));
  if (type == "phase") {
    texts.push_back(
        absl::StrCat("phase    ", v1::Job::Phase_Name(event.phase())));
  }
  if (type == "metric" && !IsSummed(event.metric()) &&
      event.metric().has_value()) {
    texts.push_back(absl::StrCat(
        "metric   ", MetricText(event.metric().name(), event.metric().value()),
        event.metric().profile().empty() ? "" : "  ",
        event.metric().profile()));
  }
  if (type == "warning") texts.push_back(WarningText(event.warning()));
  if (type == "log" && event.log().severity() != v1::Log::DEBUG) {
    texts.push_back(absl::StrCat("log      ", event.log().message()));
  }
  if (type == "artifact") {
    texts.push_back(
        absl::StrCat("artifact ", event.artifact().profile(), ": ",
                     v1::Artifact::Verdict_Name(event.artifact().verdict())));
  }
  return texts;
}

}  // namespace

std::string Bar(double fraction, int width, bool unicode) {
  const int full = static_cast<int>(std::floor(fraction * width + 1e-9));
  std::string bar;
  for (int i = 0; i < width; ++i) {
    if (unicode) {
      bar += i < full ? "█" : "░";
    } else {
      bar += i < full ? '#' : '.';
    }
  }
  return bar;
}

std::string Truncate(const std::string& text, int width) {
  std::string out;
  int columns = 0;
  bool colored = false;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '\x1b') {
      size_t end = i;
      while (end < text.size() &&
             !absl::ascii_isalpha(static_cast<unsigned char>(text[end]))) {
        ++end;
      }
      end = std::min(end + 1, text.size());
      const std::string escape = text.substr(i, end - i);
      colored = escape != kReset;
      out += escape;
      i = end;
      continue;
    }
    if (columns == width) break;
    ++columns;
    do {
      // A line break or tab of the server's would spoil the count of lines.
      const auto c = static_cast<unsigned char>(text[i++]);
      out += c < 0x20 || c == 0x7f ? ' ' : static_cast<char>(c);
    } while (i < text.size() &&
             (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80);
  }
  if (colored) out += kReset;
  return out;
}

std::vector<std::string> RenderLive(const JobView& view,
                                    const RenderOptions& options) {
  const Painter paint(options);
  std::vector<std::string> lines = {StateLine(view, options, paint)};
  const std::vector<std::string> footer = Footer(view, options, paint);
  // One line stays free, so that the terminal does not scroll.
  const int room =
      std::max<int>(1, options.height - 2 - static_cast<int>(footer.size()));
  size_t first = 0;
  if (view.phases.size() > static_cast<size_t>(room)) {
    first = view.phases.size() - static_cast<size_t>(room) + 1;
    lines.push_back(absl::StrCat("  ", paint.Glyph("✓", "+"), " ", first,
                                 " phases before"));
  }
  for (size_t i = first; i < view.phases.size(); ++i) {
    lines.push_back(PhaseLine(view.phases[i], options, paint));
  }
  lines.insert(lines.end(), footer.begin(), footer.end());
  for (std::string& line : lines) line = Truncate(line, options.width);
  return lines;
}

std::vector<std::string> PlainLines(const JobView& before,
                                    const v1::JobEvent& event) {
  const absl::Time now = absl::FromUnixSeconds(event.time().seconds()) +
                         absl::Nanoseconds(event.time().nanos());
  const std::string elapsed = absl::StrFormat(
      "[%7.1f s] ", absl::ToDoubleSeconds(now - before.start.value_or(now)));
  std::vector<std::string> lines = Texts(before, event, now);
  for (std::string& line : lines) line = elapsed + line;
  return lines;
}

}  // namespace condense::cli
