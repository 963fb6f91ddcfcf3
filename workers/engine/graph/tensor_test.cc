#include "workers/engine/graph/tensor.h"

#include <limits>

#include "gtest/gtest.h"

namespace condense::graph {
namespace {

TEST(TensorTest, EveryTypeHasANameAndASize) {
  const std::pair<DType, int> bits[] = {
      {DType::kFloat32, 32},  {DType::kFloat64, 64}, {DType::kFloat16, 16},
      {DType::kBFloat16, 16}, {DType::kInt4, 4},     {DType::kUint4, 4},
      {DType::kInt8, 8},      {DType::kUint8, 8},    {DType::kInt16, 16},
      {DType::kUint16, 16},   {DType::kInt32, 32},   {DType::kUint32, 32},
      {DType::kInt64, 64},    {DType::kUint64, 64},  {DType::kBool, 8},
      {DType::kString, 0},    {DType::kUndefined, 0}};
  for (const auto& [dtype, size] : bits) {
    EXPECT_EQ(DTypeBits(dtype), size) << DTypeName(dtype);
    EXPECT_EQ(DTypeFromName(DTypeName(dtype)), dtype);
  }
  EXPECT_EQ(DTypeFromName("float31"), DType::kUndefined);
}

TEST(TensorTest, FourBitElementsArePackedLowFirst) {
  // 0x7 low, 0x8 high, then 0xf low and nothing.
  const std::string bytes("\x87\x0f", 2);
  EXPECT_EQ(Tensor(DType::kInt4, {3}, bytes).ToInts(),
            (std::vector<int64_t>{7, -8, -1}));
  EXPECT_EQ(Tensor(DType::kUint4, {3}, bytes).ToInts(),
            (std::vector<int64_t>{7, 8, 15}));
  EXPECT_EQ(Tensor(DType::kInt4, {3}, bytes).ToFloats(),
            (std::vector<float>{7, -8, -1}));
  EXPECT_EQ(Tensor::ByteSize(DType::kInt4, std::vector<int64_t>{3}), 2);
  EXPECT_EQ(Tensor::ByteSize(DType::kInt4, std::vector<int64_t>{0, 9}), 0);
}

struct HalfCase {
  uint16_t bits;
  float value;
};

TEST(TensorTest, HalfPrecisionFollowsIeee754) {
  const float inf = std::numeric_limits<float>::infinity();
  const HalfCase halves[] = {{0x0000, 0.0f},
                             {0x3c00, 1.0f},
                             {0xc000, -2.0f},
                             {0x7bff, 65504.0f},
                             {0x0400, 6.103515625e-05f},
                             {0x0001, 5.960464477539063e-08f},
                             {0x83ff, -6.097555160522461e-05f},
                             {0x7c00, inf},
                             {0xfc00, -inf}};
  for (const HalfCase& half : halves) {
    const std::string bytes(reinterpret_cast<const char*>(&half.bits), 2);
    EXPECT_EQ(Tensor(DType::kFloat16, {1}, bytes).ToFloats()[0], half.value);
  }
  const uint16_t brain = 0xbfc0;
  EXPECT_EQ(Tensor(DType::kBFloat16, {},
                   std::string(reinterpret_cast<const char*>(&brain), 2))
                .ToFloats()[0],
            -1.5f);
}

TEST(TensorTest, IntegersConvertWithTheirSign) {
  EXPECT_EQ(Tensor::Of<int8_t>({2}, std::vector<int8_t>{-128, 127}).ToInts(),
            (std::vector<int64_t>{-128, 127}));
  EXPECT_EQ(Tensor::Of<uint8_t>({1}, std::vector<uint8_t>{255}).ToInts()[0],
            255);
  EXPECT_EQ(
      Tensor::Of<uint16_t>({1}, std::vector<uint16_t>{65535}).ToFloats()[0],
      65535.0f);
  EXPECT_EQ(Tensor::Scalar<bool>(true).ToInts()[0], 1);
}

TEST(TensorTest, EqualityIsOfTypeShapeAndElements) {
  const std::vector<float> values = {1, 2};
  const Tensor tensor = Tensor::Of<float>({2}, values);
  EXPECT_TRUE(tensor == Tensor::Of<float>({2}, values));
  EXPECT_FALSE(tensor == Tensor::Of<float>({1, 2}, values));
  EXPECT_FALSE(tensor == Tensor::Of<float>({2}, std::vector<float>{1, 3}));
  EXPECT_FALSE(Tensor::Scalar<int8_t>(1) == Tensor::Scalar<uint8_t>(1));
  EXPECT_FALSE(Tensor({1}, std::vector<std::string>{"a"}) ==
               Tensor({1}, std::vector<std::string>{"b"}));
}

TEST(TensorTest, NoElementsAreNoElementsHoweverLongTheOtherDimensions) {
  const int64_t huge = int64_t{1} << 60;
  EXPECT_EQ(Tensor({huge, huge, 0}, std::vector<std::string>()).num_elements(),
            0);
  const std::vector<int64_t> none = {huge, huge, 0}, many = {huge, huge};
  EXPECT_EQ(Tensor::ByteSize(DType::kFloat32, none), 0);
  EXPECT_GT(Tensor::ByteSize(DType::kFloat32, many), int64_t{1} << 59);
}

TEST(TensorTest, CopiesShareTheirBytes) {
  const Tensor tensor = Tensor::Scalar<float>(1);
  const Tensor copy = tensor;
  EXPECT_EQ(copy.bytes().data(), tensor.bytes().data());
}

}  // namespace
}  // namespace condense::graph
