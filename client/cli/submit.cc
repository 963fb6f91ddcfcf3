#include <filesystem>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/follow.h"
#include "client/cli/output.h"
#include "client/cpp/transfer.h"
#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

namespace condense::cli {
namespace {

absl::Status UsageError(const std::string& sentence,
                        const std::string& hint = "") {
  return MakeError(absl::StatusCode::kInvalidArgument, "WRONG_USAGE", sentence,
                   {.hint = hint});
}

absl::Status CheckThere(const std::string& path, bool folder_allowed) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    return MakeError(absl::StatusCode::kNotFound, "FILE_NOT_FOUND",
                     absl::StrCat("there is no file '", path, "'"));
  }
  if (!folder_allowed && std::filesystem::is_directory(status)) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "NOT_A_FILE",
        absl::StrCat("'", path, "' is a folder; a file is needed here"));
  }
  return absl::OkStatus();
}

// All that can be known without the server, so that nothing is sent in vain.
absl::StatusOr<v1::JobSpec> SpecWithoutFiles(const SubmitFlags& flags) {
  v1::JobSpec spec;
  spec.set_display_name(flags.name);
  spec.set_priority(flags.priority);
  CONDENSE_RETURN_IF_ERROR(CheckThere(flags.model, false));
  if (!flags.teacher.empty()) {
    CONDENSE_RETURN_IF_ERROR(CheckThere(flags.teacher, false));
  }
  CONDENSE_RETURN_IF_ERROR(CheckThere(flags.recipe, false));
  CONDENSE_ASSIGN_OR_RETURN(*spec.mutable_recipe(), ReadFile(flags.recipe));
  for (const std::string& text : flags.labels) {
    CONDENSE_ASSIGN_OR_RETURN(const auto label, SplitPair("--label", text));
    (*spec.mutable_labels())[label.first] = label.second;
  }
  for (const std::string& text : flags.gates) {
    CONDENSE_ASSIGN_OR_RETURN(const auto gate, SplitPair("--gate", text));
    (*spec.mutable_gates())[gate.first] = gate.second;
  }
  std::set<std::string> names;
  for (const std::string& text : flags.data) {
    CONDENSE_ASSIGN_OR_RETURN(const auto data, SplitPair("--data", text));
    CONDENSE_RETURN_IF_ERROR(CheckThere(data.second, true));
    if (!names.insert(data.first).second) {
      return UsageError(absl::StrCat("--data names '", data.first, "' twice"));
    }
  }
  for (const std::string& profile : flags.profiles) spec.add_profiles(profile);
  v1::DeviceRequirement::Kind kind;
  if (!v1::DeviceRequirement::Kind_Parse(absl::AsciiStrToUpper(flags.device),
                                         &kind)) {
    return UsageError(
        absl::StrCat("--device is any, cpu or cuda, not '", flags.device, "'"));
  }
  spec.mutable_device()->set_kind(kind);
  return spec;
}

// Says what is sent, on stderr, once it is known to take a while.
TransferProgress Narrate(const Context& context,
                                 const std::string& what) {
  if (context.json) return {};
  constexpr int64_t kWorthAWord = 64 << 20;
  return
      [&context, what, next = int64_t{0}](int64_t done, int64_t total) mutable {
        if (total < kWorthAWord || done < next) return;
        *context.err << "uploading " << what << ": " << HumanBytes(done)
                     << " of " << HumanBytes(total) << "\n"
                     << std::flush;
        next = done + total / 10;
      };
}

absl::Status UploadFiles(const Context& context, client::Client& client,
                         const SubmitFlags& flags, v1::JobSpec* spec) {
  CONDENSE_ASSIGN_OR_RETURN(
      *spec->mutable_model(),
      client::UploadFile(client, flags.model, Narrate(context, "the model")));
  if (!flags.teacher.empty()) {
    CONDENSE_ASSIGN_OR_RETURN(
        *spec->mutable_teacher(),
        client::UploadFile(client, flags.teacher,
                           Narrate(context, "the teacher")));
  }
  for (const std::string& text : flags.data) {
    CONDENSE_ASSIGN_OR_RETURN(const auto data, SplitPair("--data", text));
    CONDENSE_ASSIGN_OR_RETURN(
        *spec->add_data(), client::UploadData(client, data.first, data.second,
                                              Narrate(context, data.first)));
  }
  return absl::OkStatus();
}

void PrintAccepted(const Context& context, const v1::Job& job,
                   const std::string& request_id) {
  if (context.json) {
    nlohmann::ordered_json line = {{"name", job.name()},
                                   {"uid", job.uid()},
                                   {"state", v1::Job::State_Name(job.state())},
                                   {"request_id", request_id}};
    *context.out << line.dump(-1, ' ', false,
                              nlohmann::json::error_handler_t::replace)
                 << "\n";
  } else {
    *context.out << "submitted " << job.name() << "\n";
  }
  context.out->flush();
}

absl::StatusOr<v1::Job> WaitForEnd(const Context& context,
                                   client::Client& client,
                                   const SubmitFlags& flags,
                                   const v1::Job& job) {
  FollowMode mode = FollowMode::kSilent;
  if (flags.watch) {
    mode = context.json ? FollowMode::kEvents : FollowMode::kText;
  }
  CONDENSE_ASSIGN_OR_RETURN(const v1::Job done,
                            Follow(context, client, job.name(), 1, mode));
  if (!flags.out.empty()) {
    for (const v1::Artifact& artifact : done.artifacts()) {
      CONDENSE_RETURN_IF_ERROR(
          client::DownloadArtifact(client, artifact, flags.out).status());
    }
  }
  return done;
}

}  // namespace

absl::StatusOr<std::pair<std::string, std::string>> SplitPair(
    const std::string& flag, const std::string& text) {
  const size_t at = text.find('=');
  if (at == std::string::npos || at == 0 || at + 1 == text.size()) {
    return UsageError(
        absl::StrCat(flag, " takes NAME=VALUE, not '", text, "'"));
  }
  return std::make_pair(text.substr(0, at), text.substr(at + 1));
}

int Submit(const Context& context, const SubmitFlags& flags) {
  absl::StatusOr<v1::JobSpec> spec = SpecWithoutFiles(flags);
  if (!spec.ok()) return context.Fail(spec.status());
  client::Client client(context.client);
  if (absl::Status status = client.CheckReachable(); !status.ok()) {
    return context.Fail(status);
  }
  if (absl::Status status = UploadFiles(context, client, flags, &*spec);
      !status.ok()) {
    return context.Fail(status);
  }
  const std::string request_id =
      flags.request_id.empty() ? client::NewRequestId() : flags.request_id;
  auto job = client.CreateJob(*spec, request_id);
  if (!job.ok()) return context.Fail(job.status());
  PrintAccepted(context, *job, request_id);
  if (!flags.watch && !flags.wait && flags.out.empty()) return kDone;
  job = WaitForEnd(context, client, flags, *job);
  if (!job.ok()) return context.Fail(job.status());
  if (context.json) {
    *context.out << ToJson(*job) << "\n";
  } else {
    PrintOutcome(context, client, *job, flags.out);
  }
  return ExitCodeOf(*job);
}

}  // namespace condense::cli
