#include "server/core/job_validation.h"

#include "common/error.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_blob_store.h"

namespace condense {
namespace {

class JobValidationTest : public ::testing::Test {
 protected:
  JobValidationTest() {
    rules_.profiles.emplace_back().set_id("a");
    rules_.resolve_recipe = [](const v1::JobSpec& spec) {
      return spec.recipe();
    };
    spec_.set_recipe("r");
    spec_.add_profiles("a");
    spec_.mutable_model()->set_digest(blobs_.Put("model"));
  }

  // The reason and the field of the error.
  std::string Refused(v1::JobSpec spec) {
    const absl::Status status = ValidateJob(rules_, blobs_, spec).status();
    return ErrorReason(status) + " " + ErrorDetailOf(status).field;
  }

  FakeBlobStore blobs_;
  JobRules rules_;
  v1::JobSpec spec_;
};

TEST_F(JobValidationTest, AValidSpecGetsItsSizesAndItsRecipe) {
  EXPECT_EQ(ValidateJob(rules_, blobs_, spec_).value(), "r");
  EXPECT_EQ(spec_.model().size_bytes(), 5);
}

TEST_F(JobValidationTest, ListsMayNotNameAThingTwice) {
  v1::JobSpec twice = spec_;
  twice.add_profiles("a");
  EXPECT_EQ(Refused(twice), "BAD_NAME job.spec.profiles[1]");
  twice = spec_;
  for (int i = 0; i < 2; ++i) {
    twice.add_data()->set_name("train");
    *twice.mutable_data(i)->mutable_blob() = spec_.model();
  }
  EXPECT_EQ(Refused(twice), "BAD_NAME job.spec.data[1].name");
}

TEST_F(JobValidationTest, NumbersHaveRanges) {
  v1::JobSpec spec = spec_;
  spec.set_max_attempts(101);
  EXPECT_EQ(Refused(spec), "OUT_OF_RANGE job.spec.max_attempts");
  spec = spec_;
  spec.mutable_device()->set_memory_bytes(-1);
  EXPECT_EQ(Refused(spec), "OUT_OF_RANGE job.spec.device.memory_bytes");
}

TEST_F(JobValidationTest, ATeacherMustBeStored) {
  spec_.mutable_teacher()->set_digest(DigestOf("other"));
  EXPECT_EQ(Refused(spec_), "BLOB_NOT_STORED job.spec.teacher");
}

TEST_F(JobValidationTest, FingerprintsTellSpecsApartWhateverTheMapOrder) {
  v1::JobSpec a;
  v1::JobSpec b;
  for (int i = 0; i < 20; ++i) {
    (*a.mutable_labels())[std::to_string(i)] = "x";
    (*b.mutable_labels())[std::to_string(19 - i)] = "x";
  }
  EXPECT_EQ(RequestFingerprint(a), RequestFingerprint(b));
  (*b.mutable_labels())["3"] = "y";
  EXPECT_NE(RequestFingerprint(a), RequestFingerprint(b));
}

}  // namespace
}  // namespace condense
