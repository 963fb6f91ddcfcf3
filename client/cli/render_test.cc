#include "client/cli/render.h"

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "client/cli/output.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_server.h"

namespace condense::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// The small job up to its third loss, with progress.
JobView InTraining() {
  JobView view;
  view.short_name = "j-8f3k2";
  const auto events = SmallJobEvents();
  for (int i = 0; i < 6; ++i) Apply(events[static_cast<size_t>(i)], &view);
  view.progress.set_fraction(.5);
  view.progress.set_step(310);
  view.progress.set_total_steps(680);
  view.progress.set_eta_seconds(4);
  return view;
}

RenderOptions Ascii(int width) {
  return {.width = width,
          .height = 24,
          .unicode = false,
          .color = false,
          .now = absl::FromUnixSeconds(10)};
}

TEST(RenderTest, ShowsStatePhasesBarAndFigures) {
  EXPECT_THAT(
      RenderLive(InTraining(), Ascii(80)),
      ElementsAre("j-8f3k2  RUNNING  0:09",
                  "  > Finetuning                     7.0 s",
                  "    ################................  50 %  step 310/680"
                  "  loss 0.3333  ETA 0:04"));
}

TEST(RenderTest, AFinishedJobHasMarksVerdictAndNoBar) {
  JobView view;
  view.short_name = "j-1";
  for (const auto& event : SmallJobEvents()) Apply(event, &view);
  EXPECT_THAT(RenderLive(view, Ascii(80)),
              ElementsAre("j-1  SUCCEEDED  0:08",
                          "  + Finetuning                     6.0 s  loss "
                          "0.3333",
                          "  ! no speed-up on this profile",
                          "  * onnxruntime-cpu-x86-vnni  PASSED"));
}

TEST(RenderTest, NoLineIsWiderThanTheTerminal) {
  for (int width = 1; width < 120; ++width) {
    for (const std::string& line : RenderLive(InTraining(), Ascii(width))) {
      EXPECT_LE(DisplayWidth(line), width);
    }
  }
}

TEST(RenderTest, NoPictureIsHigherThanTheTerminal) {
  JobView view = InTraining();
  for (int i = 0; i < 30; ++i) view.phases.push_back(view.phases[0]);
  RenderOptions options = Ascii(80);
  options.height = 10;
  const auto lines = RenderLive(view, options);
  EXPECT_LT(lines.size(), 10u);
  EXPECT_THAT(lines[1], HasSubstr("phases before"));
}

TEST(RenderTest, BeforeTheFirstEventItConnects) {
  JobView view;
  view.short_name = "j-1";
  EXPECT_THAT(RenderLive(view, Ascii(80)), ElementsAre("j-1  connecting"));
}

TEST(BarTest, IsFullOnlyAtTheEnd) {
  EXPECT_EQ(Bar(0, 4, false), "....");
  EXPECT_EQ(Bar(.99, 4, false), "###.");
  EXPECT_EQ(Bar(1, 4, false), "####");
  EXPECT_EQ(Bar(.5, 2, true), "█░");
}

TEST(TruncateTest, CountsCharactersAndEndsColors) {
  EXPECT_EQ(Truncate("a→bc", 3), "a→b");
  EXPECT_EQ(Truncate("\x1b[31mred\x1b[0m!", 2), "\x1b[31mre\x1b[0m");
  EXPECT_EQ(Truncate("\x1b[31mred\x1b[0m!", 4), "\x1b[31mred\x1b[0m!");
  EXPECT_EQ(Truncate("two\nlines", 20), "two lines");
}

TEST(PlainTest, OneLinePerStatePhaseWarningArtifactAndMetricSummary) {
  JobView view;
  std::vector<std::string> lines;
  for (const auto& event : SmallJobEvents()) {
    for (auto& line : PlainLines(view, event)) lines.push_back(line);
    Apply(event, &view);
  }
  EXPECT_THAT(
      lines,
      ElementsAre("[    0.0 s] state    QUEUED",
                  "[    1.0 s] state    RUNNING (attempt 1)",
                  "[    2.0 s] phase    FINETUNING",
                  "[    6.0 s] warning  SLOWER: no speed-up on this profile",
                  "[    7.0 s] artifact onnxruntime-cpu-x86-vnni: PASSED",
                  "[    8.0 s] metrics  FINETUNING: loss 0.3333 (first 1, 3 "
                  "values)",
                  "[    8.0 s] state    SUCCEEDED"));
}

TEST(PlainTest, AFailureSaysWhy) {
  v1::JobEvent event;
  event.set_type("state");
  event.set_state(v1::Job::FAILED);
  event.mutable_error()->set_code("INVALID_ARGUMENT");
  event.mutable_error()->set_reason("NOT_A_MODEL");
  event.mutable_error()->set_message("no ONNX");
  EXPECT_THAT(PlainLines({}, event),
              ElementsAre("[    0.0 s] state    FAILED INVALID_ARGUMENT "
                          "NOT_A_MODEL: no ONNX"));
}

TEST(PlainTest, MetricsWithoutAStepAndLogsArePrintedAtOnce) {
  v1::JobEvent event;
  event.set_type("metric");
  event.mutable_metric()->set_name("baseline.top1");
  event.mutable_metric()->set_value(.9806);
  EXPECT_THAT(PlainLines({}, event),
              ElementsAre("[    0.0 s] metric   baseline.top1 98.06 %"));
  v1::JobEvent log;
  log.set_type("log");
  log.mutable_log()->set_message("hello");
  EXPECT_THAT(PlainLines({}, log), ElementsAre("[    0.0 s] log      hello"));
  log.mutable_log()->set_severity(v1::Log::DEBUG);
  EXPECT_THAT(PlainLines({}, log), ElementsAre());
}

}  // namespace
}  // namespace condense::cli
