#include "workers/engine/import/sparse_tensor.h"

#include "common/error.h"
#include "gtest/gtest.h"

namespace condense::onnx_import {
namespace {

onnx::SparseTensorProto Sparse(const std::vector<int64_t>& dims,
                               const std::vector<float>& values,
                               const std::vector<int64_t>& index_dims,
                               const std::vector<int64_t>& indices) {
  onnx::SparseTensorProto proto;
  proto.mutable_values()->set_name("w");
  proto.mutable_values()->set_data_type(onnx::TensorProto::FLOAT);
  proto.mutable_values()->add_dims(static_cast<int64_t>(values.size()));
  for (float v : values) proto.mutable_values()->add_float_data(v);
  proto.mutable_indices()->set_data_type(onnx::TensorProto::INT64);
  for (int64_t d : index_dims) proto.mutable_indices()->add_dims(d);
  for (int64_t i : indices) proto.mutable_indices()->add_int64_data(i);
  for (int64_t d : dims) proto.add_dims(d);
  return proto;
}

std::string Reason(onnx::SparseTensorProto proto) {
  return ErrorReason(TensorFromSparse(std::move(proto), nullptr).status());
}

const std::vector<float>& Expected() {
  static const auto& values = *new std::vector<float>{0, 5, 0, 0, 0, 7};
  return values;
}

TEST(SparseTensorTest, PositionsInTheRowMajorTensor) {
  const auto tensor =
      TensorFromSparse(Sparse({2, 3}, {5, 7}, {2}, {1, 5}), nullptr);
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(tensor->dims(), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(tensor->ToFloats(), Expected());
}

TEST(SparseTensorTest, Coordinates) {
  const auto tensor =
      TensorFromSparse(Sparse({2, 3}, {5, 7}, {2, 2}, {0, 1, 1, 2}), nullptr);
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(tensor->ToFloats(), Expected());
}

TEST(SparseTensorTest, NothingButZeros) {
  const auto tensor = TensorFromSparse(Sparse({2, 3}, {}, {0}, {}), nullptr);
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(tensor->ToFloats(), std::vector<float>(6, 0));
}

TEST(SparseTensorTest, RefusesWhatDoesNotFit) {
  EXPECT_EQ(Reason(Sparse({2, 3}, {5}, {1}, {6})), "BAD_TENSOR");
  EXPECT_EQ(Reason(Sparse({2, 3}, {5}, {1}, {-1})), "BAD_TENSOR");
  EXPECT_EQ(Reason(Sparse({2, 3}, {5, 7}, {2}, {1, 1})), "BAD_TENSOR");
  EXPECT_EQ(Reason(Sparse({2, 3}, {5}, {1, 2}, {0, 3})), "BAD_TENSOR");
  EXPECT_EQ(Reason(Sparse({2, 3}, {5}, {2}, {0, 3})), "BAD_TENSOR");
  EXPECT_EQ(Reason(Sparse({-2, 3}, {5}, {1}, {0})), "BAD_TENSOR");
  EXPECT_EQ(Reason(Sparse({int64_t{1} << 20, int64_t{1} << 20}, {5}, {1}, {0})),
            "BAD_TENSOR")
      << "a few bytes that would become a TiB";
}

}  // namespace
}  // namespace condense::onnx_import
