#include "server/core/resource_names.h"

#include <algorithm>
#include <vector>

#include "absl/random/distributions.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "server/core/errors.h"

namespace condense {
namespace {

// Without letters that look like digits, so that a name can be read aloud.
constexpr char kIdDigits[] = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr int kIdLength = 5;
constexpr size_t kLongestSegment = 63;

bool IsSegment(absl::string_view text) {
  return !text.empty() && text.size() <= kLongestSegment &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

}  // namespace

absl::StatusOr<std::string> ProjectOfParent(absl::string_view parent) {
  const std::vector<std::string> parts = absl::StrSplit(parent, '/');
  if (parts.size() != 2 || parts[0] != "projects" || !IsSegment(parts[1])) {
    return BadName("parent", parent, "projects/{project}");
  }
  return parts[1];
}

absl::Status CheckJobName(absl::string_view name, absl::string_view field) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  if (parts.size() != 4 || parts[0] != "projects" || !IsSegment(parts[1]) ||
      parts[2] != "jobs" || !IsSegment(parts[3])) {
    return BadName(field, name, "projects/{project}/jobs/{job}");
  }
  return absl::OkStatus();
}

std::string ProjectOfJob(absl::string_view name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  return parts.size() > 1 ? parts[1] : std::string();
}

std::string NewJobName(absl::string_view project, absl::BitGenRef random) {
  std::string id;
  for (int i = 0; i < kIdLength; ++i) {
    id.push_back(kIdDigits[absl::Uniform(random, 0, 32)]);
  }
  return absl::StrCat("projects/", project, "/jobs/j-", id);
}

std::string NewUuid(absl::BitGenRef random) {
  const auto high = absl::Uniform<uint64_t>(random);
  const auto low = absl::Uniform<uint64_t>(random);
  return absl::StrFormat("%08x-%04x-4%03x-%04x-%012x", high >> 32,
                         (high >> 16) & 0xffff, high & 0xfff,
                         0x8000 | ((low >> 48) & 0x3fff), low & 0xffffffffffff);
}

std::string PageToken(absl::string_view project, int64_t position) {
  return absl::WebSafeBase64Escape(absl::StrCat("1:", project, ":", position));
}

absl::StatusOr<int64_t> PositionOfPageToken(absl::string_view project,
                                            absl::string_view token) {
  std::string text;
  int64_t position = 0;
  if (!absl::WebSafeBase64Unescape(token, &text)) return BadPageToken();
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  if (parts.size() != 3 || parts[0] != "1" || parts[1] != project ||
      !absl::SimpleAtoi(parts[2], &position) || position < 1) {
    return BadPageToken();
  }
  return position;
}

}  // namespace condense
