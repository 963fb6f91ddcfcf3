#include "workers/engine/import/tensor_file.h"

#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/engine/export/tensor_file.h"

namespace condense::onnx_import {
namespace {

using graph::Tensor;

TEST(TensorFileTest, NpyAndTensorProtoComeBackEqual) {
  for (const Tensor& tensor :
       {Tensor::Of<float>({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6}),
        Tensor::Of<int64_t>({1}, std::vector<int64_t>{-7}),
        Tensor::Scalar<float>(3)}) {
    const auto npy = onnx_export::NpyBytes(tensor);
    ASSERT_TRUE(npy.ok());
    EXPECT_EQ((npy->size() - tensor.bytes().size()) % 64, 0u);
    EXPECT_EQ(*ParseNpy(*npy), tensor);
    EXPECT_EQ(*ParseTensorProto(onnx_export::TensorProtoBytes(tensor, "t")),
              tensor);
  }
}

TEST(TensorFileTest, RefusesWhatIsNoTensor) {
  EXPECT_EQ(ErrorReason(ParseNpy("hello, world").status()), "BAD_TENSOR_FILE");
  std::string cut = *onnx_export::NpyBytes(Tensor::Scalar<float>(3));
  cut.pop_back();
  EXPECT_EQ(ErrorReason(ParseNpy(cut).status()), "BAD_TENSOR_FILE");
}

}  // namespace
}  // namespace condense::onnx_import
