#include "client/cli/cli_fixture.h"
#include "common/digest.h"
#include "common/error.h"
#include "gmock/gmock.h"

namespace condense::cli {
namespace {

using testing::HasSubstr;

class SubmitTest : public CliFixture {
 protected:
  std::vector<std::string> Line(std::vector<std::string> more = {}) {
    std::vector<std::string> line = {
        "submit",
        "--model",
        Write("m.onnx", "model"),
        "--recipe",
        Write("r.yaml", "stages: []"),
        "--data",
        "train=" + Write("train/a/1.png", "x")
                       .substr(0, (root_ / "train").string().size()),
        "--profile",
        "p1,p2"};
    line.insert(line.end(), more.begin(), more.end());
    return line;
  }
};

TEST_F(SubmitTest, SendsFilesAndSpecAndNamesTheJob) {
  EXPECT_EQ(Run(Line({"--json", "--request-id", "id-1", "--gate",
                      "max_accuracy_drop=0.01", "--label", "team=a=b",
                      "--priority", "-5", "--device", "cuda", "--name", "n"})),
            0)
      << err_;
  ASSERT_EQ(JsonLines().size(), 1u);
  EXPECT_EQ(JsonLines()[0],
            (nlohmann::json{{"name", "projects/default/jobs/j-1"},
                            {"uid", server_.state().job.uid()},
                            {"state", "QUEUED"},
                            {"request_id", "id-1"}}));
  const v1::JobSpec& spec = server_.state().creates.at(0).job().spec();
  EXPECT_EQ(spec.model().digest(), DigestOf("model"));
  EXPECT_EQ(server_.state().blobs.count(DigestOf("model")), 1u);
  EXPECT_EQ(spec.recipe(), "stages: []");
  EXPECT_EQ(spec.profiles_size(), 2);
  EXPECT_EQ(spec.gates().at("max_accuracy_drop"), "0.01");
  EXPECT_EQ(spec.labels().at("team"), "a=b");
  EXPECT_EQ(spec.priority(), -5);
  EXPECT_EQ(spec.device().kind(), v1::DeviceRequirement::CUDA);
  EXPECT_TRUE(spec.data(0).is_folder());
}

TEST_F(SubmitTest, WaitPrintsTheJobLastAndExitsByItsVerdict) {
  FinishJob(v1::Artifact::TOO_LARGE);
  const std::string out = (root_ / "out").string();
  EXPECT_EQ(Run(Line({"--wait", "--json", "--out", out})), 3) << err_;
  ASSERT_EQ(JsonLines().size(), 2u);
  EXPECT_EQ(JsonLines()[1]["artifacts"][0]["verdict"], "TOO_LARGE");
  EXPECT_TRUE(
      std::filesystem::exists(out + "/onnxruntime-cpu-x86-vnni/model.onnx"));
}

TEST_F(SubmitTest, WatchShowsEventsAndThenTheResult) {
  FinishJob(v1::Artifact::PASSED);
  server_.state().watch_cuts = {2};
  EXPECT_EQ(Run(Line({"--watch"})), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("phase    FINETUNING"));
  EXPECT_THAT(out_, HasSubstr("98.00 %"));
  EXPECT_THAT(out_, HasSubstr("condense report j-1"));
  EXPECT_THAT(err_, HasSubstr("the server is away"));
}

TEST_F(SubmitTest, AFailedJobExitsFourWithItsError) {
  server_.state().events = SmallJobEvents();
  server_.state().events.back().set_state(v1::Job::FAILED);
  server_.state().job.set_state(v1::Job::FAILED);
  server_.state().job.mutable_error()->set_code("INVALID_ARGUMENT");
  server_.state().job.mutable_error()->set_reason("NOT_A_MODEL");
  server_.state().job.mutable_error()->set_message("this is no ONNX file");
  EXPECT_EQ(Run(Line({"--wait"})), 4);
  EXPECT_THAT(
      err_,
      HasSubstr("error: INVALID_ARGUMENT NOT_A_MODEL: this is no ONNX file"));
}

TEST_F(SubmitTest, ARefusedRecipeExitsTwoWithLineAndNearestName) {
  server_.state().create_status =
      MakeError(absl::StatusCode::kInvalidArgument, "UNKNOWN_PROFILE",
                "no profile 'p1'", {.nearest = "p0"});
  EXPECT_EQ(Run(Line()), 2);
  EXPECT_EQ(err_,
            "error: INVALID_ARGUMENT UNKNOWN_PROFILE: no profile 'p1'\n"
            "  nearest: p0\n");
  EXPECT_EQ(out_, "");
}

TEST_F(SubmitTest, InputsThatAreNotThereAreNamedBeforeTheServerIsAsked) {
  auto line = Line();
  line[2] = "no/such.onnx";
  EXPECT_EQ(Run(line), 1);
  EXPECT_THAT(err_,
              HasSubstr("FILE_NOT_FOUND: there is no file 'no/such.onnx'"));
  line[2] = root_.string();
  EXPECT_EQ(Run(line), 2);
  EXPECT_THAT(err_, HasSubstr("NOT_A_FILE"));
  EXPECT_EQ(Run(Line({"--data", "test=no/where"})), 1);
  EXPECT_EQ(Run(Line({"--data", "nonsense"})), 2);
  EXPECT_THAT(err_, HasSubstr("--data takes NAME=VALUE, not 'nonsense'"));
  EXPECT_EQ(Run(Line({"--data", "train=" + root_.string()})), 2);
  EXPECT_THAT(err_, HasSubstr("names 'train' twice"));
  EXPECT_TRUE(server_.state().blobs.empty());
}

TEST_F(SubmitTest, AServerThatIsNotThereExitsSixAtOnce) {
  auto line = Line({"--server", "127.0.0.1:1", "--wait"});
  const absl::Time start = absl::Now();
  EXPECT_EQ(RunAlone(line), 6);
  EXPECT_LT(absl::Now() - start, absl::Seconds(4));
  EXPECT_THAT(err_, HasSubstr("error: UNAVAILABLE SERVER_UNREACHABLE"));
}

}  // namespace
}  // namespace condense::cli
