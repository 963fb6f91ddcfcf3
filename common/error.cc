#include "common/error.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/utf8.h"
#include "google/rpc/code.pb.h"
#include "google/rpc/error_details.pb.h"

namespace condense {
namespace {

constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";

google::rpc::ErrorInfo InfoOf(const absl::Status& status) {
  google::rpc::ErrorInfo info;
  if (auto payload = status.GetPayload(kErrorInfoUrl); payload.has_value()) {
    info.ParseFromString(std::string(*payload));
  }
  return info;
}

int ToInt(const std::string& text) {
  int value = 0;
  return absl::SimpleAtoi(text, &value) ? value : 0;
}

// Levenshtein distance.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row.back();
}

// What can travel: gRPC carries 8 KiB of details, Protobuf and JSON UTF-8
// alone, and names and words come out of files of strangers.
constexpr size_t kMessageBytesMax = 3000;
constexpr size_t kDetailBytesMax = 400;

std::string Sendable(absl::string_view text, size_t bytes_max) {
  std::string out = IsUtf8(text) ? std::string(text) : absl::CHexEscape(text);
  if (out.size() <= bytes_max) return out;
  size_t end = bytes_max;
  // Not inside of a character.
  while (end > 0 && (static_cast<uint8_t>(out[end]) & 0xc0) == 0x80) --end;
  return absl::StrCat(out.substr(0, end), " ...");
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, absl::string_view reason,
                       absl::string_view message, ErrorDetail detail) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain("condense");
  auto& metadata = *info.mutable_metadata();
  if (detail.line > 0) metadata["line"] = absl::StrCat(detail.line);
  if (detail.column > 0) metadata["column"] = absl::StrCat(detail.column);
  for (const auto& [key, text] :
       {std::pair{"field", &detail.field},
        std::pair{"nearest", &detail.nearest}, std::pair{"hint", &detail.hint},
        std::pair{"node", &detail.node}}) {
    if (!text->empty()) metadata[key] = Sendable(*text, kDetailBytesMax);
  }
  absl::Status status(code, Sendable(message, kMessageBytesMax));
  status.SetPayload(kErrorInfoUrl, absl::Cord(info.SerializeAsString()));
  return status;
}

std::string ErrorReason(const absl::Status& status) {
  return InfoOf(status).reason();
}

ErrorDetail ErrorDetailOf(const absl::Status& status) {
  const google::rpc::ErrorInfo info = InfoOf(status);
  auto get = [&](const char* key) {
    auto it = info.metadata().find(key);
    return it == info.metadata().end() ? std::string() : it->second;
  };
  return {.field = get("field"),
          .line = ToInt(get("line")),
          .column = ToInt(get("column")),
          .nearest = get("nearest"),
          .hint = get("hint"),
          .node = get("node")};
}

v1::Error ErrorToProto(const absl::Status& status, v1::Job::Phase phase) {
  const ErrorDetail detail = ErrorDetailOf(status);
  v1::Error error;
  error.set_code(CodeName(status.code()));
  error.set_reason(ErrorReason(status).empty() ? CodeName(status.code())
                                               : ErrorReason(status));
  error.set_message(std::string(status.message()));
  error.set_phase(phase);
  error.set_node(detail.node);
  error.set_hint(detail.hint);
  error.set_line(detail.line);
  error.set_column(detail.column);
  error.set_field(detail.field);
  error.set_nearest(detail.nearest);
  return error;
}

absl::Status ErrorFromProto(const v1::Error& error) {
  google::rpc::Code code = google::rpc::UNKNOWN;
  google::rpc::Code_Parse(error.code(), &code);
  return MakeError(static_cast<absl::StatusCode>(code), error.reason(),
                   error.message(),
                   {.field = error.field(),
                    .line = error.line(),
                    .column = error.column(),
                    .nearest = error.nearest(),
                    .hint = error.hint(),
                    .node = error.node()});
}

std::string CodeName(absl::StatusCode code) {
  return google::rpc::Code_Name(static_cast<google::rpc::Code>(code));
}

std::string ErrorText(const absl::Status& status) {
  const ErrorDetail detail = ErrorDetailOf(status);
  std::string reason = ErrorReason(status);
  if (!reason.empty()) reason = absl::StrCat(" ", reason);
  std::string text = absl::StrCat("error: ", CodeName(status.code()), reason,
                                  ": ", std::string(status.message()));
  auto add = [&](const char* label, const std::string& value) {
    if (!value.empty()) absl::StrAppend(&text, "\n  ", label, ": ", value);
  };
  add("field", detail.field);
  if (detail.line > 0) {
    add("at", absl::StrCat("line ", detail.line, ":", detail.column));
  }
  add("nearest", detail.nearest);
  add("node", detail.node);
  add("hint", detail.hint);
  return text;
}

std::string NearestName(absl::string_view name,
                        const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(name.size() / 2, 1) + 1;
  for (const std::string& candidate : candidates) {
    size_t distance = EditDistance(name, candidate);
    // "max_size" is nearer to "max_size_bytes" than its length says.
    if (absl::StartsWith(candidate, name) && name.size() > 2) {
      distance = std::min<size_t>(distance, 1);
    }
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace condense
