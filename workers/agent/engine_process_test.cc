#include "workers/agent/engine_process.h"

#include <csignal>
#include <filesystem>

#include "common/error.h"
#include "common/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/agent/engine_pool.h"

namespace condense::agent {
namespace {

class EngineProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    std::signal(SIGPIPE, SIG_IGN);
    folder_ = testing::TempDir() + "/engine_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  EngineOptions Options(const std::string& mode) const {
    EngineOptions options;
    // Beside this test.
    const std::string self = SelfPath();
    options.binary = self.substr(0, self.rfind('/')) + "/fake_engine";
    options.device = mode;
    options.stderr_path = folder_ + "/stderr";
    return options;
  }
  std::unique_ptr<EngineProcess> Started(const std::string& mode) {
    auto engine = EngineProcess::Start(Options(mode));
    EXPECT_TRUE(engine.ok()) << engine.status();
    return *std::move(engine);
  }
  static v1::EngineCommand StartIn(const std::string& folder) {
    v1::EngineCommand command;
    command.mutable_start()->set_job_dir(folder);
    return command;
  }
  std::string folder_;
};

TEST_F(EngineProcessTest, MessagesGoBothWays) {
  auto engine = Started("echo");
  EXPECT_EQ((*engine->Read())->ready().device(), "echo");
  ASSERT_TRUE(engine->Send(StartIn("/a/job")).ok());
  EXPECT_EQ((*engine->Read())->event().log().message(), "/a/job");
  EXPECT_EQ((*engine->Read())->done().outcome(), v1::Done::SUCCEEDED);
  EXPECT_FALSE(engine->Read()->has_value());
  EXPECT_EQ(engine->Wait(), "exit code 0");
  EXPECT_EQ(engine->end_signal(), 0);
  EXPECT_EQ(engine->StderrTail(100), "started in /a/job\n");
}

TEST_F(EngineProcessTest, ADeathIsEndOfFileAndItsSignalIsKnown) {
  auto engine = Started("die");
  ASSERT_TRUE(engine->Read()->has_value());
  ASSERT_TRUE(engine->Send(StartIn("x")).ok());
  EXPECT_FALSE(engine->Read()->has_value());
  EXPECT_EQ(engine->Wait(), "signal 9 (Killed)");
  EXPECT_EQ(engine->end_signal(), SIGKILL);
  EXPECT_FALSE(engine->alive());
  // To nobody, and harmless.
  engine->Kill(SIGKILL);
}

TEST_F(EngineProcessTest, AStubbornEngineEndsBySigkill) {
  auto engine = Started("stubborn");
  ASSERT_TRUE(engine->Read()->has_value());
  engine->Kill(SIGTERM);
  EXPECT_TRUE(engine->alive());
  engine->Kill(SIGKILL);
  EXPECT_EQ(engine->Wait(), "signal 9 (Killed)");
}

TEST_F(EngineProcessTest, AnEngineThatNeverSpeaksIsKilledInTheEnd) {
  auto engine = Started("mute");
  const auto event = engine->ReadWithin(absl::Milliseconds(50));
  ASSERT_TRUE(event.ok());
  EXPECT_FALSE(event->has_value());
  EXPECT_EQ(engine->Wait(), "signal 9 (Killed)");
}

TEST_F(EngineProcessTest, ItEndsWithItsOwner) {
  pid_t pid = 0;
  {
    auto engine = Started("stubborn");
    pid = engine->pid();
  }
  EXPECT_EQ(kill(pid, 0), -1);
}

TEST_F(EngineProcessTest, AProgramThatIsNotThereIsAnError) {
  EngineOptions options = Options("echo");
  options.binary = folder_ + "/nothing";
  const absl::Status status = EngineProcess::Start(options).status();
  EXPECT_EQ(ErrorReason(status), "ENGINE_NOT_STARTED");
  EXPECT_THAT(ErrorDetailOf(status).hint, testing::HasSubstr("--engine"));
}

TEST_F(EngineProcessTest, ThePoolHandsOutReadyEnginesAndStartsWhatIsMissing) {
  EnginePool pool({.engine = Options("echo"), .folder = folder_, .warm = 1});
  auto first = pool.Take();
  ASSERT_TRUE(first.ok()) << first.status();
  // Has said Ready already: the next message answers Start.
  ASSERT_TRUE((*first)->Send(StartIn("j")).ok());
  EXPECT_EQ((*(*first)->Read())->event().log().message(), "j");
  auto second = pool.Take();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_NE((*first)->pid(), (*second)->pid());
}

TEST_F(EngineProcessTest, APoolWithABrokenEngineSaysWhatItSaid) {
  EngineOptions options = Options("echo");
  options.binary = "/bin/false";
  EnginePool pool({.engine = options, .folder = folder_, .warm = 0});
  const absl::Status status = pool.Take().status();
  EXPECT_EQ(ErrorReason(status), "ENGINE_NOT_STARTED");
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("exit code 1"));
}

}  // namespace
}  // namespace condense::agent
