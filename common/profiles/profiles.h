#ifndef CONDENSE_COMMON_PROFILES_PROFILES_H_
#define CONDENSE_COMMON_PROFILES_PROFILES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "condense/v1/device_profile.pb.h"

namespace condense::profiles {

// All built-in profiles by id, from DataDir()/profiles. Errors: an unreadable
// or invalid file.
absl::StatusOr<std::vector<v1::DeviceProfile>> LoadBuiltInProfiles();

// The profile with this id, or NOT_FOUND with reason UNKNOWN_PROFILE and the
// nearest id.
absl::StatusOr<v1::DeviceProfile> FindProfile(
    const std::vector<v1::DeviceProfile>& profiles, absl::string_view id);

// A built-in id, or the path of a profile file.
absl::StatusOr<v1::DeviceProfile> LoadProfile(const std::string& id_or_path);

}  // namespace condense::profiles

#endif  // CONDENSE_COMMON_PROFILES_PROFILES_H_
