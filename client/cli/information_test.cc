#include "client/cli/cli_fixture.h"
#include "gmock/gmock.h"

namespace condense::cli {
namespace {

using testing::HasSubstr;

class InformationTest : public CliFixture {
 protected:
  InformationTest() {
    v1::DeviceProfile profile;
    profile.set_id("onnxruntime-cpu-x86-avx2");
    profile.set_title("ONNX Runtime without VNNI");
    profile.set_runtime(v1::DeviceProfile::ONNXRUNTIME);
    profile.mutable_weights()->add_bits(7);
    profile.mutable_weights()->add_schemes(v1::SYMMETRIC);
    profile.add_notes("8-bit products saturate");
    server_.state().profiles.push_back(profile);
  }
};

TEST_F(InformationTest, ProfilesAreListedAndShown) {
  EXPECT_EQ(Run({"profiles", "list"}), 0);
  EXPECT_THAT(out_,
              HasSubstr("onnxruntime-cpu-x86-avx2  ONNX Runtime without"));
  EXPECT_EQ(Run({"profiles", "show", "onnxruntime-cpu-x86-avx2"}), 0);
  EXPECT_THAT(out_, HasSubstr("7 bits; symmetric"));
  EXPECT_THAT(out_, HasSubstr("8-bit products saturate"));
  EXPECT_EQ(Run({"profiles", "show", "nothing"}), 1);
  EXPECT_EQ(Run({"--json", "profiles", "list"}), 0);
  EXPECT_EQ(JsonLines().at(0)["weights"]["bits"][0], 7);
}

TEST_F(InformationTest, WorkersAreListed) {
  v1::Worker worker;
  worker.set_name("host-1");
  worker.set_slots(2);
  worker.set_state(v1::Worker::IDLE);
  worker.add_jobs("projects/default/jobs/j-1");
  worker.add_devices()->set_id("cpu");
  server_.state().workers.push_back(worker);
  EXPECT_EQ(Run({"workers"}), 0);
  EXPECT_THAT(out_, HasSubstr("host-1  IDLE   1/2    cpu      j-1"));
  EXPECT_EQ(Run({"workers", "--json"}), 0);
  EXPECT_EQ(JsonLines().at(0)["state"], "IDLE");
}

TEST_F(InformationTest, HealthAsksTheServer) {
  EXPECT_EQ(Run({"health"}), 0);
  EXPECT_EQ(out_, "SERVING\n");
  EXPECT_EQ(Run({"health", "--json"}), 0);
  EXPECT_EQ(JsonLines().at(0)["status"], "SERVING");
  EXPECT_EQ(RunAlone({"health", "--server", "127.0.0.1:1"}), 6);
}

}  // namespace
}  // namespace condense::cli
