#include "workers/engine/graph/convert_floats.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace condense::graph {
namespace {

Tensor Floats(const std::vector<float>& values) {
  return Tensor::Of<float>({static_cast<int64_t>(values.size())}, values);
}

std::vector<int64_t> BitsAs(const std::vector<float>& values, DType to) {
  const Tensor half = ConvertFloats(Floats(values), to);
  return Tensor(DType::kUint16, half.dims(), half.bytes()).ToInts();
}

TEST(ConvertFloatsTest, HalfIsAsIeee754HasIt) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(BitsAs({0, -0.0f, 1, -2, 65504, infinity, 0.1f}, DType::kFloat16),
            (std::vector<int64_t>{0, 0x8000, 0x3c00, 0xc000, 0x7bff, 0x7c00,
                                  0x2e66}));
  // Subnormals: 2^-24 is the smallest, half of it ties to even.
  EXPECT_EQ(BitsAs({0x1p-24f, 0x1p-25f, 0x1.8p-24f, 0x1p-14f}, DType::kFloat16),
            (std::vector<int64_t>{1, 0, 2, 0x400}));
  // 1 + 2^-11 lies in the middle of 1 and 1 + 2^-10; 1 + 3 * 2^-11 above.
  EXPECT_EQ(BitsAs({1 + 0x1p-11f, 1 + 0x3p-11f}, DType::kFloat16),
            (std::vector<int64_t>{0x3c00, 0x3c02}));
  EXPECT_EQ(BitsAs({1e6f, -1e6f}, DType::kFloat16),
            (std::vector<int64_t>{0x7bff, 0xfbff}))
      << "what is finite stays finite";
}

TEST(ConvertFloatsTest, BFloatIsTheUpperHalfRounded) {
  const float most = std::numeric_limits<float>::max();
  EXPECT_EQ(BitsAs({1, -1, 1 + 0x1p-8f, 1 + 0x3p-8f, most}, DType::kBFloat16),
            (std::vector<int64_t>{0x3f80, 0xbf80, 0x3f80, 0x3f82, 0x7f7f}));
}

TEST(ConvertFloatsTest, ThereAndBackIsTheSame) {
  const std::vector<float> exact = {0, 1.5f, -0.25f, 1024, 0x1p-20f};
  for (DType type : {DType::kFloat16, DType::kBFloat16, DType::kFloat64}) {
    EXPECT_EQ(ConvertFloats(ConvertFloats(Floats(exact), type), DType::kFloat32)
                  .ToFloats(),
              exact)
        << DTypeName(type);
    const Tensor nan =
        ConvertFloats(ConvertFloats(Floats({NAN}), type), DType::kFloat32);
    EXPECT_TRUE(std::isnan(nan.ToFloats()[0])) << DTypeName(type);
  }
}

TEST(ConvertFloatsTest, DoublesBeyondTheRangeBecomeTheLargest) {
  const Tensor doubles =
      Tensor::Of<double>({3}, std::vector<double>{-1e300, 0.5, INFINITY});
  const std::vector<float> narrow =
      ConvertFloats(doubles, DType::kFloat32).ToFloats();
  EXPECT_EQ(narrow[0], -std::numeric_limits<float>::max());
  EXPECT_EQ(narrow[1], 0.5f);
  EXPECT_TRUE(std::isinf(narrow[2]));
}

}  // namespace
}  // namespace condense::graph
