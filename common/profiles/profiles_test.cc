#include "common/profiles/profiles.h"

#include "common/error.h"
#include "gtest/gtest.h"

namespace condense::profiles {
namespace {

TEST(ProfilesTest, WithoutVnniWeightsLoseABit) {
  const auto profiles = LoadBuiltInProfiles();
  ASSERT_TRUE(profiles.ok()) << ErrorText(profiles.status());
  const auto vnni = FindProfile(*profiles, "onnxruntime-cpu-x86-vnni");
  const auto avx2 = FindProfile(*profiles, "onnxruntime-cpu-x86-avx2");
  ASSERT_TRUE(vnni.ok() && avx2.ok());
  EXPECT_EQ(vnni->weights().bits(0), 8);
  EXPECT_EQ(avx2->weights().bits(0), 7);
  EXPECT_TRUE(avx2->built_in());
  // Two u8 x s8 products of the largest weights must fit into 16 bits.
  EXPECT_LE(2 * 255 * ((1 << (avx2->weights().bits(0) - 1)) - 1), 32767);
  EXPECT_GT(2 * 255 * ((1 << (vnni->weights().bits(0) - 1)) - 1), 32767);
}

TEST(ProfilesTest, EveryProfileNamesItsSources) {
  const auto profiles = LoadBuiltInProfiles();
  ASSERT_TRUE(profiles.ok());
  for (const auto& profile : *profiles) {
    EXPECT_FALSE(profile.sources().empty()) << profile.id();
    EXPECT_FALSE(profile.title().empty()) << profile.id();
  }
}

TEST(ProfilesTest, AnUnknownIdNamesTheNearest) {
  const auto profile = LoadProfile("onnxruntime-cpu-x86-vnn");
  EXPECT_EQ(ErrorReason(profile.status()), "UNKNOWN_PROFILE");
  EXPECT_EQ(ErrorDetailOf(profile.status()).nearest,
            "onnxruntime-cpu-x86-vnni");
}

}  // namespace
}  // namespace condense::profiles
