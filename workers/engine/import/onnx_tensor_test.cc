#include "workers/engine/import/onnx_tensor.h"

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/export/onnx_tensor.h"

namespace condense::onnx_import {
namespace {

using graph::DType;
using graph::Tensor;
using ::testing::ElementsAre;

onnx::TensorProto Proto(int type, const std::vector<int64_t>& dims) {
  onnx::TensorProto proto;
  proto.set_name("t");
  proto.set_data_type(type);
  for (int64_t dim : dims) proto.add_dims(dim);
  return proto;
}

std::string Reason(onnx::TensorProto proto) {
  return ErrorReason(TensorFromProto(std::move(proto)).status());
}

TEST(OnnxTensorTest, EveryTypeHasItsNumberAndBack) {
  for (int i = 1; i <= static_cast<int>(DType::kString); ++i) {
    const DType dtype = static_cast<DType>(i);
    EXPECT_EQ(DTypeFromOnnx(onnx_export::OnnxDType(dtype)), dtype)
        << graph::DTypeName(dtype);
  }
  EXPECT_EQ(DTypeFromOnnx(17), DType::kUndefined) << "8-bit floats";
}

TEST(OnnxTensorTest, TypedFieldsAreNarrowedToTheType) {
  onnx::TensorProto bytes = Proto(onnx::TensorProto::INT8, {3});
  for (int v : {1, -1, -128}) bytes.add_int32_data(v);
  EXPECT_THAT(TensorFromProto(bytes)->ToInts(), ElementsAre(1, -1, -128));
  onnx::TensorProto halves = Proto(onnx::TensorProto::FLOAT16, {2});
  for (int v : {0x3c00, 0xc000}) halves.add_int32_data(v);
  EXPECT_THAT(TensorFromProto(halves)->ToFloats(), ElementsAre(1, -2));
  onnx::TensorProto wide = Proto(onnx::TensorProto::UINT32, {1});
  wide.add_uint64_data(4000000000u);
  EXPECT_THAT(TensorFromProto(wide)->ToInts(), ElementsAre(4000000000));
}

TEST(OnnxTensorTest, FourBitsAreTwoToAByte) {
  onnx::TensorProto proto = Proto(22, {3});
  proto.set_raw_data(std::string("\x2f\x08", 2));
  const auto tensor = TensorFromProto(proto);
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_THAT(tensor->ToInts(), ElementsAre(-1, 2, -8));
  onnx::TensorProto typed = Proto(21, {3});
  typed.add_int32_data(0x21);
  typed.add_int32_data(0x0f);
  EXPECT_THAT(TensorFromProto(typed)->ToInts(), ElementsAre(1, 2, 15));
}

TEST(OnnxTensorTest, WhatWasWrittenComesBack) {
  const Tensor tensor =
      Tensor::Of<float>({2, 2}, std::vector<float>{1, 2.5f, -3, 0});
  EXPECT_EQ(*TensorFromProto(onnx_export::TensorToProto(tensor, "t")), tensor);
  const Tensor words({2}, std::vector<std::string>{"cat", "dog"});
  EXPECT_EQ(*TensorFromProto(onnx_export::TensorToProto(words, "t")), words);
  const Tensor scalar = Tensor::Scalar<int64_t>(7);
  EXPECT_EQ(*TensorFromProto(onnx_export::TensorToProto(scalar, "t")), scalar);
}

TEST(OnnxTensorTest, RefusesWhatDoesNotFill) {
  EXPECT_EQ(Reason(Proto(0, {1})), "BAD_TENSOR") << "no type";
  EXPECT_EQ(Reason(Proto(onnx::TensorProto::FLOAT, {-1})), "BAD_TENSOR");
  EXPECT_EQ(Reason(Proto(onnx::TensorProto::FLOAT, {int64_t{1} << 62, 4})),
            "BAD_TENSOR");
  EXPECT_EQ(Reason(Proto(onnx::TensorProto::FLOAT, {2})), "BAD_TENSOR");
  EXPECT_EQ(Reason(Proto(onnx::TensorProto::STRING, {2})), "BAD_TENSOR");
  onnx::TensorProto external = Proto(onnx::TensorProto::FLOAT, {1});
  external.set_data_location(onnx::TensorProto::EXTERNAL);
  EXPECT_EQ(Reason(external), "BAD_EXTERNAL_DATA");
}

}  // namespace
}  // namespace condense::onnx_import
