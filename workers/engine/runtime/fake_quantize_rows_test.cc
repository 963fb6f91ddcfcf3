#include "workers/engine/runtime/fake_quantize_rows.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace condense::runtime {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Normal values with all that is special among them, halves of a step included.
std::vector<float> Special(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 2);
  const float special[] = {0,      -0.0f, 0.25f, 0.75f, -0.25f,    kInfinity,
                           -1e30f, 1e30f, kNan,  6,     -kInfinity};
  std::vector<float> values(n);
  for (int64_t i = 0; i < n; ++i) {
    values[i] = i % 3 == 0 ? special[random() % 11] : normal(random);
  }
  return values;
}

struct Expected {
  std::vector<float> y;
  std::vector<bool> pass;
  float low = kInfinity;
  float high = -kInfinity;
};

// By the letter of the header, one element at a time.
Expected Reference(const FakeQuantizeRow& row, const std::vector<float>& x,
                   const std::vector<float>& addend) {
  Expected out;
  for (int64_t i = 0; i < row.n; ++i) {
    float v = row.addend == nullptr ? x[i] : x[i] + addend[i];
    bool pass = true;
    if (row.before == Before::kRelu) {
      pass = v > 0;
      if (v < 0) v = 0;
    } else if (row.before == Before::kClip) {
      pass = v >= row.clip_low && v <= row.clip_high;
      if (v < row.clip_low) v = row.clip_low;
      if (v > row.clip_high) v = row.clip_high;
    }
    if (v < out.low) out.low = v;
    if (v > out.high) out.high = v;
    const float s = row.scale[row.each ? i : 0];
    const float z = row.zero_point[row.each ? i : 0];
    float level = std::nearbyint(v / s) + z;
    pass = pass && level >= row.qmin && level <= row.qmax;
    if (level < row.qmin) level = row.qmin;
    if (level > row.qmax) level = row.qmax;
    out.y.push_back((level - z) * s);
    out.pass.push_back(pass);
  }
  return out;
}

bool SameNumber(float a, float b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

class LoopsTest : public testing::TestWithParam<int64_t> {
 protected:
  const FakeQuantizeLoops& loops() const {
    return FakeQuantizeLoopsAt(GetParam());
  }
};

void ExpectAsReference(const FakeQuantizeLoops& loops, FakeQuantizeRow row,
                       int64_t n) {
  const std::vector<float> x = Special(n, 5), addend = Special(n, 6);
  std::vector<float> scales(n), zeros(n);
  for (int64_t i = 0; i < n; ++i) {
    scales[i] = 0.5f + 0.25f * static_cast<float>(i % 7);
    zeros[i] = static_cast<float>(i % 5);
  }
  std::vector<float> y(n, -1);
  std::vector<PassWord> pass(PassWords(n), 0);
  float seen[2] = {kInfinity, -kInfinity};
  row.x = x.data();
  if (row.addend != nullptr) row.addend = addend.data();
  row.y = y.data();
  row.n = n;
  row.scale = scales.data();
  row.zero_point = zeros.data();
  row.pass = pass.data();
  row.seen = seen;
  loops.quantize(row);
  const Expected expected = Reference(row, x, addend);
  for (int64_t i = 0; i < n; ++i) {
    EXPECT_TRUE(SameNumber(y[i], expected.y[i]))
        << loops.name << " " << x[i] << ": " << y[i] << " " << expected.y[i];
    EXPECT_EQ(pass[i / kPassWordBits] >> i % kPassWordBits & 1,
              expected.pass[i])
        << loops.name << " " << x[i];
  }
  EXPECT_EQ(seen[0], expected.low);
  EXPECT_EQ(seen[1], expected.high);
}

TEST_P(LoopsTest, EachElementIsAsTheHeaderSays) {
  const float some = 0;
  for (const int64_t n : {1, 15, 16, 17, 100}) {
    for (const Before before :
         {Before::kNothing, Before::kRelu, Before::kClip}) {
      for (const bool each : {false, true}) {
        for (const void* addend : {static_cast<const void*>(nullptr),
                                   static_cast<const void*>(&some)}) {
          FakeQuantizeRow row;
          row.addend = addend;
          row.each = each;
          row.qmin = -4;
          row.qmax = 11;
          row.before = before;
          row.clip_low = -1;
          row.clip_high = 6;
          ExpectAsReference(loops(), row, n);
        }
      }
    }
  }
}

uint16_t ToBf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return static_cast<uint16_t>(bits >> 16);
}
float FromBf16(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

TEST_P(LoopsTest, HalfPrecisionIsComputedInFloatAndRoundedToEven) {
  const std::vector<float> values = Special(37, 7);
  std::vector<uint16_t> x, y(37);
  for (float value : values) x.push_back(ToBf16(value));
  const float scale = 0.0123f, zero = 3;
  FakeQuantizeRow row;
  row.x = x.data();
  row.y = y.data();
  row.n = 37;
  row.bf16 = true;
  row.scale = &scale;
  row.zero_point = &zero;
  loops().quantize(row);
  for (int i = 0; i < 37; ++i) {
    const float v = FromBf16(x[i]);
    if (std::isnan(v)) {
      EXPECT_TRUE(std::isnan(FromBf16(y[i])));
      continue;
    }
    const float level =
        std::min(255.0f, std::max(0.0f, std::nearbyint(v / scale) + zero));
    const float exact = (level - zero) * scale;
    // The nearer of both neighbours; the even one between them.
    const uint16_t low = ToBf16(exact);
    const uint16_t high = static_cast<uint16_t>(low + 1);
    const float to_low = std::abs(exact - FromBf16(low));
    const float to_high = std::abs(FromBf16(high) - exact);
    const uint16_t nearest =
        to_low < to_high || (to_low == to_high && low % 2 == 0) ? low : high;
    EXPECT_EQ(y[i], nearest) << v;
  }
}

TEST_P(LoopsTest, TheGradientPassesWhereTheBitIsSet) {
  for (const int64_t n : {3, 16, 41}) {
    const std::vector<float> grad = Special(n, 8);
    std::vector<PassWord> pass(PassWords(n));
    for (PassWord& word : pass) word = 0xa35c;
    std::vector<float> out(n);
    loops().pass({grad.data(), pass.data(), out.data(), n});
    for (int64_t i = 0; i < n; ++i) {
      const float expected = 0xa35c >> i % 16 & 1 ? grad[i] : 0;
      EXPECT_TRUE(SameNumber(out[i], expected)) << i;
    }
  }
}

TEST_P(LoopsTest, MaxAbsPassesOverNan) {
  std::vector<float> x(33, 0.5f);
  EXPECT_EQ(loops().max_abs(x.data(), 33), 0.5f);
  x[7] = kNan;
  x[20] = -3;
  EXPECT_EQ(loops().max_abs(x.data(), 33), 3);
  x[32] = 4;
  EXPECT_EQ(loops().max_abs(x.data(), 33), 4);
  EXPECT_EQ(loops().max_abs(x.data(), 20), 0.5f);
}

INSTANTIATE_TEST_SUITE_P(EveryInstructionSet, LoopsTest,
                         testing::Range<int64_t>(0, CountFakeQuantizeLoops()),
                         [](const auto& info) {
                           return std::string(
                               FakeQuantizeLoopsAt(info.param).name);
                         });

}  // namespace
}  // namespace condense::runtime
