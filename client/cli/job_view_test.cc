#include "client/cli/job_view.h"

#include "gtest/gtest.h"
#include "tests/testing/fake_server.h"

namespace condense::cli {
namespace {

JobView ViewOf(const std::vector<v1::JobEvent>& events) {
  JobView view;
  for (const v1::JobEvent& event : events) Apply(event, &view);
  return view;
}

TEST(JobViewTest, FoldsTheEventsOfAJob) {
  const JobView view = ViewOf(SmallJobEvents());
  EXPECT_EQ(view.state, v1::Job::SUCCEEDED);
  EXPECT_EQ(view.attempt, 1);
  EXPECT_EQ(*view.end - *view.start, absl::Seconds(8));
  ASSERT_EQ(view.phases.size(), 1u);
  EXPECT_EQ(*view.phases[0].end - view.phases[0].start, absl::Seconds(6));
  EXPECT_TRUE(view.phases[0].completed);
  const MetricTrack& loss = view.phases[0].metrics.at("loss");
  EXPECT_EQ(loss.count, 3);
  EXPECT_DOUBLE_EQ(loss.first, 1.0);
  EXPECT_DOUBLE_EQ(loss.last, 1.0 / 3);
  EXPECT_EQ(view.warnings.size(), 1u);
  EXPECT_EQ(view.artifacts.size(), 1u);
}

TEST(JobViewTest, ALostWorkerCutsThePhaseShort) {
  auto events = SmallJobEvents();
  events.resize(4);
  events.push_back(events[0]);  // QUEUED again.
  const JobView view = ViewOf(events);
  EXPECT_FALSE(view.phases[0].completed);
  EXPECT_TRUE(view.phases[0].end.has_value());
}

TEST(JobViewTest, ANewPhaseForgetsTheStepsOfTheOneBefore) {
  JobView view;
  v1::JobEvent progress;
  progress.set_type("progress");
  progress.mutable_progress()->set_fraction(.5);
  progress.mutable_progress()->set_step(7);
  Apply(progress, &view);
  v1::JobEvent phase;
  phase.set_type("phase");
  phase.set_phase(v1::Job::QAT);
  Apply(phase, &view);
  EXPECT_FALSE(view.progress.has_step());
  EXPECT_DOUBLE_EQ(view.progress.fraction(), .5);
}

TEST(JobViewTest, NamesAreForPeople) {
  EXPECT_EQ(PhaseTitle(v1::Job::BASELINE_EVALUATION), "Baseline evaluation");
  EXPECT_EQ(PhaseTitle(v1::Job::QAT), "Quantization-aware training");
  EXPECT_TRUE(IsQuality("compressed.top1"));
  EXPECT_TRUE(IsQuality("compressed.tar_at_far_1e-3"));
  // Less of it is better.
  EXPECT_FALSE(IsQuality("compressed.eer"));
  EXPECT_FALSE(IsQuality("loss"));
  EXPECT_FALSE(IsQuality("notop1"));
}

}  // namespace
}  // namespace condense::cli
