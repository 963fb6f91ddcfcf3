#include "server/core/job_validation.h"

#include <algorithm>
#include <cstdint>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "server/core/errors.h"

namespace condense {
namespace {

constexpr int kHighestPriority = 1000;
constexpr int kMostAttempts = 100;

absl::Status CheckBlob(const std::string& field, BlobStore& blobs,
                       v1::BlobRef& ref) {
  if (ref.digest().empty()) return FieldMissing(absl::StrCat(field, ".digest"));
  if (const absl::Status status = CheckDigest(ref.digest()); !status.ok()) {
    return MakeError(status.code(), ErrorReason(status),
                     std::string(status.message()),
                     {.field = absl::StrCat(field, ".digest")});
  }
  const auto size = blobs.SizeOf(ref.digest());
  if (!size.has_value()) return BlobNotStored(field, ref.digest());
  ref.set_size_bytes(*size);
  return absl::OkStatus();
}

absl::Status CheckProfiles(const std::vector<v1::DeviceProfile>& known,
                           const v1::JobSpec& spec) {
  if (spec.profiles_size() == 0) return FieldMissing("job.spec.profiles");
  std::vector<std::string> ids;
  for (const v1::DeviceProfile& profile : known) ids.push_back(profile.id());
  for (int i = 0; i < spec.profiles_size(); ++i) {
    if (std::find(ids.begin(), ids.end(), spec.profiles(i)) == ids.end()) {
      return UnknownProfile(spec.profiles(i), ids,
                            absl::StrCat("job.spec.profiles[", i, "]"));
    }
    if (std::find(spec.profiles().begin(), spec.profiles().begin() + i,
                  spec.profiles(i)) != spec.profiles().begin() + i) {
      return BadName(absl::StrCat("job.spec.profiles[", i, "]"),
                     spec.profiles(i), "of a profile that is not listed twice");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckData(BlobStore& blobs, v1::JobSpec& spec) {
  std::set<std::string> names;
  for (int i = 0; i < spec.data_size(); ++i) {
    v1::NamedData& data = *spec.mutable_data(i);
    const std::string field = absl::StrCat("job.spec.data[", i, "]");
    if (data.name().empty()) return FieldMissing(absl::StrCat(field, ".name"));
    if (!names.insert(data.name()).second) {
      return BadName(absl::StrCat(field, ".name"), data.name(),
                     "of a data set that is not given twice");
    }
    CONDENSE_RETURN_IF_ERROR(
        CheckBlob(absl::StrCat(field, ".blob"), blobs, *data.mutable_blob()));
  }
  return absl::OkStatus();
}

absl::Status CheckNumbers(const v1::JobSpec& spec) {
  if (spec.priority() < -kHighestPriority ||
      spec.priority() > kHighestPriority) {
    return FieldOutOfRange("job.spec.priority", spec.priority(),
                           -kHighestPriority, kHighestPriority);
  }
  if (spec.max_attempts() < 0 || spec.max_attempts() > kMostAttempts) {
    return FieldOutOfRange("job.spec.max_attempts", spec.max_attempts(), 1,
                           kMostAttempts);
  }
  if (spec.device().memory_bytes() < 0) {
    return FieldOutOfRange("job.spec.device.memory_bytes",
                           spec.device().memory_bytes(), 0, INT64_MAX);
  }
  for (const auto& [key, value] : spec.gates()) {
    double bound = 0;
    if (!absl::SimpleAtod(value, &bound)) return BadGate(key, value);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ValidateJob(const JobRules& rules, BlobStore& blobs,
                                        v1::JobSpec& spec) {
  if (spec.recipe().empty()) return FieldMissing("job.spec.recipe");
  CONDENSE_RETURN_IF_ERROR(CheckNumbers(spec));
  CONDENSE_RETURN_IF_ERROR(CheckProfiles(rules.profiles, spec));
  CONDENSE_ASSIGN_OR_RETURN(std::string resolved, rules.resolve_recipe(spec));
  CONDENSE_RETURN_IF_ERROR(
      CheckBlob("job.spec.model", blobs, *spec.mutable_model()));
  if (spec.has_teacher()) {
    CONDENSE_RETURN_IF_ERROR(
        CheckBlob("job.spec.teacher", blobs, *spec.mutable_teacher()));
  }
  CONDENSE_RETURN_IF_ERROR(CheckData(blobs, spec));
  return resolved;
}

std::string RequestFingerprint(const v1::JobSpec& spec) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    spec.SerializeToCodedStream(&coded);
  }
  return DigestOf(bytes);
}

}  // namespace condense
