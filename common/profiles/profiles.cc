#include "common/profiles/profiles.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/error.h"
#include "common/files.h"
#include "common/recipe/yaml_proto.h"
#include "common/status_macros.h"

namespace condense::profiles {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<v1::DeviceProfile> ReadProfile(const std::string& path) {
  CONDENSE_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  v1::DeviceProfile profile;
  recipe::Positions positions;
  CONDENSE_RETURN_IF_ERROR(recipe::YamlToProto(text, {}, &profile, &positions));
  if (profile.id().empty() || profile.opset() == 0 ||
      profile.weights().bits().empty() ||
      profile.runtime() == v1::DeviceProfile::RUNTIME_UNSPECIFIED) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "BAD_PROFILE",
        absl::StrCat(path, " lacks id, runtime, opset or weights"));
  }
  return profile;
}

}  // namespace

absl::StatusOr<std::vector<v1::DeviceProfile>> LoadBuiltInProfiles() {
  std::vector<v1::DeviceProfile> profiles;
  std::error_code error;
  const fs::path folder = fs::path(DataDir()) / "profiles";
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".yaml") continue;
    CONDENSE_ASSIGN_OR_RETURN(v1::DeviceProfile profile,
                              ReadProfile(entry.path().string()));
    profile.set_built_in(true);
    profiles.push_back(std::move(profile));
  }
  if (profiles.empty()) {
    return MakeError(absl::StatusCode::kNotFound, "NO_PROFILES",
                     absl::StrCat("no device profiles in ", folder.string()),
                     {.hint = "set CONDENSE_DATA_DIR to the installed data"});
  }
  std::sort(profiles.begin(), profiles.end(),
            [](const auto& a, const auto& b) { return a.id() < b.id(); });
  return profiles;
}

absl::StatusOr<v1::DeviceProfile> FindProfile(
    const std::vector<v1::DeviceProfile>& profiles, absl::string_view id) {
  std::vector<std::string> ids;
  for (const v1::DeviceProfile& profile : profiles) {
    if (profile.id() == std::string(id)) return profile;
    ids.push_back(profile.id());
  }
  return MakeError(
      absl::StatusCode::kNotFound, "UNKNOWN_PROFILE",
      absl::StrCat("no device profile '", id, "'"),
      {.nearest = NearestName(id, ids),
       .hint = absl::StrCat("there are ", absl::StrJoin(ids, ", "))});
}

absl::StatusOr<v1::DeviceProfile> LoadProfile(const std::string& id_or_path) {
  if (absl::StrContains(id_or_path, '/') ||
      absl::EndsWith(id_or_path, ".yaml")) {
    return ReadProfile(id_or_path);
  }
  CONDENSE_ASSIGN_OR_RETURN(auto profiles, LoadBuiltInProfiles());
  return FindProfile(profiles, id_or_path);
}

}  // namespace condense::profiles
