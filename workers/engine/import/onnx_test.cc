#include "workers/engine/import/onnx.h"

#include <cstdlib>
#include <filesystem>
#include <map>

#include "common/error.h"
#include "common/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "onnx/onnx_pb.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/graph/cost.h"
#include "workers/engine/graph/passes/fold_batch_norm.h"
#include "workers/engine/graph/same_graph.h"
#include "workers/engine/graph/text.h"

namespace condense::onnx_import {
namespace {

using graph::Graph;

// The folder of real models, or "" where it is not.
std::string SharedModels() {
  const char* shared = std::getenv("CONDENSE_SHARED");
  const char* source = std::getenv("CONDENSE_SOURCE_DIR");
  std::string path = shared   ? shared
                     : source ? std::string(source) + "/../shared"
                              : "../shared";
  path += "/models";
  return std::filesystem::exists(path) ? path : "";
}

// input [1, 3, 8, 8] -> conv 3x3 to 2 channels -> reshape [1, -1]
onnx::ModelProto SmallModel() {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(13);
  auto* graph = model.mutable_graph();
  auto* input = graph->add_input();
  input->set_name("x");
  auto* type = input->mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx::TensorProto::FLOAT);
  for (int dim : {1, 3, 8, 8}) {
    type->mutable_shape()->add_dim()->set_dim_value(dim);
  }
  auto* weight = graph->add_initializer();
  weight->set_name("w");
  weight->set_data_type(onnx::TensorProto::FLOAT);
  for (int dim : {2, 3, 3, 3}) weight->add_dims(dim);
  for (int i = 0; i < 54; ++i) weight->add_float_data(0.5f * i);
  auto* sizes = graph->add_initializer();
  sizes->set_name("sizes");
  sizes->set_data_type(onnx::TensorProto::INT64);
  sizes->add_dims(2);
  sizes->add_int64_data(1);
  sizes->add_int64_data(-1);
  auto* conv = graph->add_node();
  conv->set_op_type("Conv");
  conv->set_name("conv");
  conv->add_input("x");
  conv->add_input("w");
  conv->add_output("h");
  auto* reshape = graph->add_node();
  reshape->set_op_type("Reshape");
  reshape->add_input("h");
  reshape->add_input("sizes");
  reshape->add_output("y");
  graph->add_output()->set_name("y");
  return model;
}

std::string Reason(const onnx::ModelProto& model) {
  return ErrorReason(ImportOnnx(model.SerializeAsString()).status());
}

TEST(ImportOnnxTest, MakesAFixedBatchSymbolicAndReshapesFollow) {
  const auto graph = ImportOnnx(SmallModel().SerializeAsString());
  ASSERT_TRUE(graph.ok()) << ErrorText(graph.status());
  EXPECT_THAT(graph::ToText(*graph, graph::TextForm::kElided),
              testing::MatchesRegex(R"(graph model opset 17 \{
  input x: float32 \[N, 3, 8, 8\]
  const w: float32 \[2, 3, 3, 3\] = sha256 "[0-9a-f]+"
  h: float32 \[N, 2, 6, 6\] = Conv\(x, w\) @ conv
  const sizes_1: int64 \[2\] = \{0, -1\}
  y: float32 \[N, 72\] = Reshape\(h, sizes_1\)
  output y
\}
)"));
  EXPECT_EQ(graph->node(graph->order()[1]).name, "y")
      << "a node without a name takes that of its first output";
}

TEST(ImportOnnxTest, CountsMultiplyAccumulates) {
  const auto graph = ImportOnnx(SmallModel().SerializeAsString());
  ASSERT_TRUE(graph.ok());
  const graph::Cost cost = graph::CostOf(*graph);
  EXPECT_EQ(cost.macs, 6 * 6 * 2 * 3 * 3 * 3);
  EXPECT_EQ(cost.parameters, 54);
}

TEST(ImportOnnxTest, RefusesWhatIsNoModel) {
  EXPECT_EQ(ErrorReason(ImportOnnx("not a model").status()), "NOT_A_MODEL");
  EXPECT_EQ(ErrorReason(ImportOnnx("").status()), "NOT_A_MODEL");
}

TEST(ImportOnnxTest, NamesAllUnknownOperatorsAtOnce) {
  onnx::ModelProto model = SmallModel();
  model.mutable_graph()->mutable_node(0)->set_op_type("Wiggle");
  model.mutable_graph()->mutable_node(1)->set_op_type("Wobble");
  const auto graph = ImportOnnx(model.SerializeAsString());
  EXPECT_EQ(ErrorReason(graph.status()), "UNSUPPORTED_OPERATOR");
  EXPECT_NE(
      std::string(graph.status().message()).find("Wiggle (conv); Wobble (y)"),
      std::string::npos)
      << graph.status();
}

TEST(ImportOnnxTest, RefusesHostileTensorsAndGraphs) {
  onnx::ModelProto model = SmallModel();
  model.mutable_graph()->mutable_initializer(0)->set_dims(0, -2);
  EXPECT_EQ(Reason(model), "BAD_TENSOR");
  model = SmallModel();
  model.mutable_graph()->mutable_initializer(0)->set_dims(0, int64_t{1} << 60);
  EXPECT_EQ(Reason(model), "BAD_TENSOR");
  model = SmallModel();
  model.mutable_graph()->mutable_initializer(0)->set_dims(0, 3);
  EXPECT_EQ(Reason(model), "BAD_TENSOR") << "too few bytes";
  model = SmallModel();
  model.mutable_graph()->mutable_node(0)->set_input(0, "y");
  EXPECT_EQ(Reason(model), "BAD_GRAPH") << "a cycle";
  model = SmallModel();
  model.mutable_graph()->mutable_initializer(0)->set_dims(1, 6);
  model.mutable_graph()->mutable_initializer(0)->set_dims(0, 1);
  EXPECT_EQ(Reason(model), "SHAPE_MISMATCH");
  model = SmallModel();
  model.mutable_opset_import(0)->set_version(99);
  EXPECT_EQ(Reason(model), "UNSUPPORTED_OPSET");
}

TEST(ImportOnnxTest, InitializersThatAreInputsTooAreConstants) {
  onnx::ModelProto model = SmallModel();
  model.set_ir_version(3);
  auto* input = model.mutable_graph()->add_input();
  input->set_name("w");
  auto* type = input->mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx::TensorProto::FLOAT);
  for (int dim : {2, 3, 3, 3}) {
    type->mutable_shape()->add_dim()->set_dim_value(dim);
  }
  const auto graph = ImportOnnx(model.SerializeAsString());
  ASSERT_TRUE(graph.ok()) << ErrorText(graph.status());
  EXPECT_EQ(graph->inputs().size(), 1u);
  EXPECT_EQ(graph::ToText(*graph),
            graph::ToText(*ImportOnnx(SmallModel().SerializeAsString())));
}

// SmallModel with float16 weights, inputs and outputs.
onnx::ModelProto HalfModel() {
  onnx::ModelProto model = SmallModel();
  auto* weight = model.mutable_graph()->mutable_initializer(0);
  weight->clear_float_data();
  weight->set_data_type(onnx::TensorProto::FLOAT16);
  for (int i = 0; i < 54; ++i) weight->add_int32_data(0x3c00);
  model.mutable_graph()
      ->mutable_input(0)
      ->mutable_type()
      ->mutable_tensor_type()
      ->set_elem_type(onnx::TensorProto::FLOAT16);
  return model;
}

TEST(ImportOnnxTest, HalfPrecisionBecomesFloat32AndIsDeclaredAgain) {
  const auto graph = ImportOnnx(HalfModel().SerializeAsString());
  ASSERT_TRUE(graph.ok()) << ErrorText(graph.status());
  EXPECT_THAT(graph::ToText(*graph, graph::TextForm::kElided),
              testing::MatchesRegex(R"(graph model opset 17 \{
  metadata condense.dtype.x = "float16"
  metadata condense.dtype.y = "float16"
  input x: float32 \[N, 3, 8, 8\]
  const w: float32 \[2, 3, 3, 3\] = sha256 "[0-9a-f]+"
  h: float32 \[N, 2, 6, 6\] = Conv\(x, w\) @ conv
  const sizes_1: int64 \[2\] = \{0, -1\}
  y: float32 \[N, 72\] = Reshape\(h, sizes_1\)
  output y
\}
)"));
  EXPECT_EQ(graph->ConstantOf(graph->FindValue("w"))->ToFloats(),
            std::vector<float>(54, 1));
  const auto bytes = onnx_export::ExportOnnx(*graph);
  ASSERT_TRUE(bytes.ok());
  onnx::ModelProto written;
  ASSERT_TRUE(written.ParseFromString(*bytes));
  const onnx::GraphProto& file = written.graph();
  EXPECT_EQ(file.input(0).type().tensor_type().elem_type(),
            onnx::TensorProto::FLOAT16);
  EXPECT_EQ(file.output(0).name(), "y");
  EXPECT_EQ(file.output(0).type().tensor_type().elem_type(),
            onnx::TensorProto::FLOAT16);
  EXPECT_EQ(written.metadata_props_size(), 0) << "the notes stay inside";
  const auto again = ImportOnnx(*bytes);
  ASSERT_TRUE(again.ok()) << ErrorText(again.status());
  EXPECT_EQ(graph::ToText(*again), graph::ToText(*graph));
  EXPECT_EQ(again->metadata, graph->metadata);
}

TEST(ImportOnnxTest, AFileOverTheLimitOfProtobufIsATypedError) {
  const std::string path = ::testing::TempDir() + "/over_2_gib.onnx";
  ASSERT_TRUE(WriteFileAtomically(path, "").ok());
  std::filesystem::resize_file(path, uintmax_t{1} << 31);  // a hole
  EXPECT_EQ(ErrorReason(ImportOnnxFile(path).status()), "MODEL_TOO_LARGE");
  std::filesystem::remove(path);
}

TEST(ExportOnnxTest, ImportOfExportIsTheSameGraphAndTheSameBytes) {
  const auto graph = ImportOnnx(SmallModel().SerializeAsString());
  ASSERT_TRUE(graph.ok());
  const auto bytes = onnx_export::ExportOnnx(*graph);
  ASSERT_TRUE(bytes.ok());
  const auto again = ImportOnnx(*bytes);
  ASSERT_TRUE(again.ok()) << ErrorText(again.status());
  EXPECT_EQ(graph::Difference(*graph, *again), "");
  EXPECT_EQ(*onnx_export::ExportOnnx(*again), *bytes);
}

class RealModelTest : public testing::TestWithParam<const char*> {};

TEST_P(RealModelTest, ImportsFoldsExportsAndComesBackEqual) {
  const std::string models = SharedModels();
  if (models.empty()) {
    GTEST_SKIP() << "the folder of real models (CONDENSE_SHARED) is not here";
  }
  const auto graph = ImportOnnxFile(models + "/" + GetParam());
  ASSERT_TRUE(graph.ok()) << ErrorText(graph.status());
  EXPECT_EQ(graph->value(graph->inputs()[0]).shape->at(0).symbol, "N");
  EXPECT_EQ(graph->value(graph->outputs()[0]).shape->at(0).symbol, "N");
  for (graph::NodeId id : graph->order()) {
    EXPECT_NE(graph->node(id).op, "Shape") << "shape arithmetic is folded";
  }
  const auto bytes = onnx_export::ExportOnnx(*graph);
  ASSERT_TRUE(bytes.ok());
  const auto again = ImportOnnx(*bytes);
  ASSERT_TRUE(again.ok()) << ErrorText(again.status());
  EXPECT_EQ(graph::Difference(*graph, *again), "");
}

INSTANTIATE_TEST_SUITE_P(Shared, RealModelTest,
                         testing::Values("mnist_convnet_maxpool_op9.onnx",
                                         "cifar10_resnet2b_op9.onnx",
                                         "derived_resnet20_cifar10_op13.onnx",
                                         "mobilefacenet_op18.onnx"));

TEST(CostTest, MatchesThePublishedSizeOfResNet20) {
  const std::string models = SharedModels();
  if (models.empty()) {
    GTEST_SKIP() << "the folder of real models (CONDENSE_SHARED) is not here";
  }
  const auto graph =
      ImportOnnxFile(models + "/derived_resnet20_cifar10_op13.onnx");
  ASSERT_TRUE(graph.ok());
  const graph::Cost cost = graph::CostOf(*graph);
  EXPECT_NEAR(cost.parameters, 269082, 700);
  EXPECT_NEAR(cost.macs, 40.55e6, 0.1e6);
}

}  // namespace
}  // namespace condense::onnx_import
