#include "client/cpp/client.h"

#include "common/error.h"
#include "common/retry.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_server.h"
#include "tests/testing/skipping_clock.h"

namespace condense::client {
namespace {

using testing::ElementsAre;
using testing::MatchesRegex;

class ClientTest : public testing::Test {
 protected:
  ClientTest() : client_({.server = server_.address(), .clock = &clock_}) {
    server_.state().events = SmallJobEvents();
    server_.state().job.set_state(v1::Job::SUCCEEDED);
    server_.state().job.set_last_sequence(9);
  }

  // Watches the job and returns the sequence numbers seen.
  std::vector<int64_t> WatchAll(int64_t from, absl::Status* status) {
    std::vector<int64_t> seen;
    Client::WatchCallbacks callbacks;
    callbacks.on_event = [&](const v1::JobEvent& event) {
      seen.push_back(event.sequence());
      return true;
    };
    callbacks.on_retry = [&](const absl::Status&) { ++retries_; };
    *status = client_.Watch("j-1", from, callbacks);
    return seen;
  }

  SkippingClock clock_;
  FakeServer server_;
  Client client_;
  int retries_ = 0;
};

TEST_F(ClientTest, ShortAndFullNamesMeanTheSameJob) {
  EXPECT_EQ(*client_.JobName("j-1"), "projects/default/jobs/j-1");
  EXPECT_EQ(*client_.JobName("projects/p/jobs/j-1"), "projects/p/jobs/j-1");
  EXPECT_EQ(Client::ShortName("projects/p/jobs/j-1"), "j-1");
  for (const char* bad : {"", "a/b", "projects//jobs/j", "projects/p/jobs/"}) {
    EXPECT_EQ(ErrorReason(client_.JobName(bad).status()), "BAD_JOB_NAME");
  }
}

TEST_F(ClientTest, AWatchThatIsCutGoesOnWithoutGapOrDuplicate) {
  server_.state().watch_cuts = {3, 0, 1};
  server_.state().watch_overlap = 2;
  absl::Status status;
  EXPECT_THAT(WatchAll(1, &status), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(server_.state().watched_from, ElementsAre(1, 4, 4, 4));
  EXPECT_EQ(retries_, 3);
}

TEST_F(ClientTest, AWatchMayBeginLaterAndEndsWithTheFinalState) {
  absl::Status status;
  EXPECT_THAT(WatchAll(8, &status), ElementsAre(8, 9));
  EXPECT_TRUE(status.ok());
  // After the final state there is nothing to wait for.
  EXPECT_THAT(WatchAll(10, &status), ElementsAre());
  EXPECT_TRUE(status.ok());
}

TEST_F(ClientTest, AStreamThatSkipsAnEventIsAskedAgain) {
  auto& events = server_.state().events;
  events.erase(events.begin() + 4);
  absl::Status status;
  EXPECT_THAT(WatchAll(1, &status), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(ClientTest, WatchingAnUnknownJobFailsAtOnce) {
  Client::WatchCallbacks callbacks;
  callbacks.on_event = [](const v1::JobEvent&) { return true; };
  EXPECT_EQ(client_.Watch("j-2", 1, callbacks).code(),
            absl::StatusCode::kNotFound);
}

TEST_F(ClientTest, AServerThatStaysAwayIsGivenUpAfterTheLimit) {
  Client client({.server = "127.0.0.1:1", .clock = &clock_});
  const absl::Time start = clock_.TimeNow();
  Client::WatchCallbacks callbacks;
  callbacks.on_event = [](const v1::JobEvent&) { return true; };
  const absl::Status status = client.Watch("j-1", 1, callbacks);
  EXPECT_EQ(ErrorReason(status), "SERVER_UNREACHABLE");
  EXPECT_GE(clock_.TimeNow() - start, absl::Seconds(60));
  EXPECT_LE(clock_.TimeNow() - start, absl::Seconds(63));
}

TEST_F(ClientTest, ARefusedConnectionIsKnownAtOnce) {
  Client client({.server = "127.0.0.1:1"});
  EXPECT_EQ(ErrorReason(client.CheckReachable()), "SERVER_UNREACHABLE");
  EXPECT_TRUE(client_.CheckReachable().ok());
}

TEST_F(ClientTest, CreateJobIsRepeatedWithTheSameRequestId) {
  server_.state().create_unavailable = 2;
  v1::JobSpec spec;
  spec.set_display_name("digits");
  auto job = client_.CreateJob(spec, "id-1");
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_EQ(server_.state().creates.size(), 1u);
  EXPECT_EQ(server_.state().creates[0].request_id(), "id-1");
  EXPECT_EQ(server_.state().creates[0].parent(), "projects/default");
}

TEST_F(ClientTest, ServerErrorsKeepTheirDetail) {
  server_.state().create_status =
      MakeError(absl::StatusCode::kInvalidArgument, "UNKNOWN_KEY", "no 'epoch'",
                {.line = 3, .column = 5, .nearest = "epochs"});
  const absl::Status status = client_.CreateJob({}, "id").status();
  EXPECT_EQ(ErrorReason(status), "UNKNOWN_KEY");
  EXPECT_EQ(ErrorDetailOf(status).line, 3);
  EXPECT_EQ(ErrorDetailOf(status).nearest, "epochs");
}

TEST_F(ClientTest, HealthIsTheServersOwnWord) {
  EXPECT_EQ(*client_.Health(), "SERVING");
}

TEST(RequestIdTest, IsARandomUuid) {
  EXPECT_THAT(NewRequestId(),
              MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-"
                           "[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_NE(NewRequestId(), NewRequestId());
}

TEST(RetryTimerTest, WaitsGrowAndEndAtTheLimitSinceTheLastSuccess) {
  SkippingClock clock;
  RetryTimer timer(&clock, absl::Seconds(1));
  const absl::Time start = clock.TimeNow();
  EXPECT_TRUE(timer.Wait());
  EXPECT_EQ(clock.TimeNow() - start, absl::Milliseconds(100));
  EXPECT_TRUE(timer.Wait());
  EXPECT_EQ(clock.TimeNow() - start, absl::Milliseconds(300));
  timer.Reset();
  int waits = 0;
  while (timer.Wait()) ++waits;
  EXPECT_EQ(waits, 4);  // 0.1 + 0.2 + 0.4 + 0.8 s pass the limit.
}

}  // namespace
}  // namespace condense::client
