#include "workers/engine/import/wire_check.h"

#include "common/error.h"
#include "gtest/gtest.h"
#include "onnx/onnx_pb.h"

namespace condense::onnx_import {
namespace {

const google::protobuf::Descriptor& Model() {
  return *onnx::ModelProto::descriptor();
}

std::string Reason(const absl::Status& status) {
  return std::string(ErrorReason(status));
}

TEST(WireCheckTest, AModelIsTaken) {
  onnx::ModelProto model;
  auto* node = model.mutable_graph()->add_node();
  node->set_op_type("Conv");
  node->add_input("x");
  auto* weight = model.mutable_graph()->add_initializer();
  weight->set_raw_data(std::string(1000, '\x0a'));
  weight->add_dims(250);
  EXPECT_EQ(CheckWire(model.SerializeAsString(), Model()), absl::OkStatus());
}

TEST(WireCheckTest, ElementsAreCountedBeforeTheyAreMade) {
  onnx::ModelProto model;
  for (int i = 0; i < 10; ++i) model.mutable_graph()->add_node();
  const std::string bytes = model.SerializeAsString();
  // The graph and its ten nodes.
  EXPECT_EQ(CheckWire(bytes, Model(), {.elements_max = 11}), absl::OkStatus());
  const absl::Status status = CheckWire(bytes, Model(), {.elements_max = 10});
  EXPECT_EQ(Reason(status), "TOO_LARGE") << status;
}

TEST(WireCheckTest, EmptyStringsCountToo) {
  onnx::ModelProto model;
  for (int i = 0; i < 50; ++i) model.mutable_graph()->add_node()->add_input();
  EXPECT_EQ(Reason(CheckWire(model.SerializeAsString(), Model(),
                             {.elements_max = 100})),
            "TOO_LARGE");
}

TEST(WireCheckTest, SubgraphsHaveADepth) {
  onnx::ModelProto model;
  onnx::GraphProto* graph = model.mutable_graph();
  for (int i = 0; i < 10; ++i) {
    graph = graph->add_node()->add_attribute()->mutable_g();
  }
  const std::string bytes = model.SerializeAsString();
  // One for the outer graph, three for each of ten.
  EXPECT_EQ(CheckWire(bytes, Model(), {.depth_max = 31}), absl::OkStatus());
  EXPECT_EQ(Reason(CheckWire(bytes, Model(), {.depth_max = 30})), "TOO_LARGE");
}

TEST(WireCheckTest, EveryCutOfAModelIsSeenOrIsAModelItself) {
  onnx::ModelProto model;
  model.set_producer_name("p");
  model.mutable_graph()->add_node()->set_op_type("Relu");
  const std::string bytes = model.SerializeAsString();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::string cut = bytes.substr(0, size);
    onnx::ModelProto parsed;
    EXPECT_EQ(CheckWire(cut, Model()).ok(), parsed.ParseFromString(cut))
        << size;
  }
}

}  // namespace
}  // namespace condense::onnx_import
