#include "common/recipe/yaml_proto.h"

#include "common/error.h"
#include "condense/v1/engine.pb.h"
#include "gtest/gtest.h"

namespace condense::recipe {
namespace {

TEST(YamlProtoTest, ReadsMapsAndListsOfText) {
  v1::JobFile file;
  Positions positions;
  ASSERT_TRUE(YamlToProto("data: {train: a, test: b}\nprofiles: [x, y]", {},
                          &file, &positions)
                  .ok());
  EXPECT_EQ(file.data().at("test"), "b");
  EXPECT_EQ(file.profiles(1), "y");
}

TEST(YamlProtoTest, RefusesTwoMembersOfAOneof) {
  v1::EngineCommand command;
  Positions positions;
  const absl::Status status =
      YamlToProto("start: {job_dir: x}\ncancel: {}", {}, &command, &positions);
  EXPECT_EQ(ErrorReason(status), "TOO_MANY_KEYS");
  EXPECT_EQ(ErrorDetailOf(status).line, 2);
}

TEST(YamlProtoTest, RefusesASecondDocument) {
  v1::JobFile file;
  Positions positions;
  const absl::Status status =
      YamlToProto("model: a\n---\nmodel: b", {}, &file, &positions);
  EXPECT_EQ(ErrorReason(status), "BAD_SYNTAX");
}

TEST(YamlProtoTest, RefusesControlCharacters) {
  v1::JobFile file;
  Positions positions;
  const absl::Status status = YamlToProto(
      std::string("model: a\nrecipe: t\0x\n", 21), {}, &file, &positions);
  EXPECT_EQ(ErrorReason(status), "BAD_SYNTAX");
  EXPECT_EQ(ErrorDetailOf(status).line, 2);
  EXPECT_EQ(ErrorDetailOf(status).column, 10);
}

TEST(YamlProtoTest, RefusesWhatIsNotUtf8) {
  v1::JobFile file;
  Positions positions;
  const absl::Status status =
      YamlToProto("model: a\nrecipe: \xff\xff\n", {}, &file, &positions);
  EXPECT_EQ(ErrorReason(status), "BAD_SYNTAX");
  EXPECT_EQ(ErrorDetailOf(status).line, 2);
}

TEST(YamlProtoTest, WritesWhatItReads) {
  v1::JobFile file;
  file.set_model("a: b");
  file.add_profiles("x");
  (*file.mutable_data())["train"] = "t";
  v1::JobFile back;
  Positions positions;
  ASSERT_TRUE(YamlToProto(ProtoToYaml(file), {}, &back, &positions).ok());
  EXPECT_EQ(back.SerializeAsString(), file.SerializeAsString());
}

}  // namespace
}  // namespace condense::recipe
