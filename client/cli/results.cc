#include <spawn.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/output.h"
#include "client/cli/screen.h"
#include "client/cpp/transfer.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

extern char** environ;

namespace condense::cli {
namespace {

namespace fs = std::filesystem;

const v1::Artifact::File* FindFile(const v1::Artifact& artifact,
                                   const std::string& name) {
  for (const v1::Artifact::File& file : artifact.files()) {
    if (file.name() == name) return &file;
  }
  return nullptr;
}

std::string JsonLine(const nlohmann::ordered_json& object) {
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// $XDG_CACHE_HOME/condense, or its default.
fs::path CacheFolder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME");
      cache != nullptr && *cache != '\0') {
    return fs::path(cache) / "condense";
  }
  const char* home = std::getenv("HOME");
  return fs::path(home == nullptr ? "." : home) / ".cache" / "condense";
}

// Starts the desktop's viewer and waits until it has taken the file.
absl::Status OpenInBrowser(const std::string& path) {
  std::string program = "xdg-open";
  std::string argument = path;
  char* arguments[] = {program.data(), argument.data(), nullptr};
  pid_t pid = 0;
  int exit_status = 0;
  const int error =
      posix_spawnp(&pid, program.c_str(), nullptr, nullptr, arguments, environ);
  if (error == 0 && waitpid(pid, &exit_status, 0) == pid && exit_status == 0) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kFailedPrecondition, "NO_VIEWER",
                   absl::StrCat("nothing here can show ", path),
                   {.hint = "open the file in a browser"});
}

// The report page on disk.
absl::StatusOr<std::string> SaveReport(client::Client& client,
                                       const v1::Artifact& artifact,
                                       const fs::path& folder) {
  const v1::Artifact::File* page = FindFile(artifact, "report.html");
  if (page == nullptr) {
    return MakeError(absl::StatusCode::kNotFound, "NO_REPORT",
                     absl::StrCat("the artifact for ", artifact.profile(),
                                  " has no report.html"));
  }
  v1::Artifact only;
  only.set_profile(artifact.profile());
  *only.add_files() = *page;
  CONDENSE_ASSIGN_OR_RETURN(
      const std::string saved,
      client::DownloadArtifact(client, only, folder.string()));
  return (fs::path(saved) / "report.html").string();
}

int DownloadOne(const Context& context, client::Client& client,
                const v1::Artifact& artifact, const std::string& out) {
  auto folder = client::DownloadArtifact(client, artifact, out);
  if (!folder.ok()) return context.Fail(folder.status());
  for (const v1::Artifact::File& file : artifact.files()) {
    const std::string path = (fs::path(*folder) / file.name()).string();
    if (context.json) {
      *context.out << JsonLine({{"profile", artifact.profile()},
                                {"name", file.name()},
                                {"path", path},
                                {"digest", file.digest()},
                                {"size_bytes", file.size_bytes()}})
                   << "\n";
    } else {
      *context.out << path << "  " << HumanBytes(file.size_bytes()) << "\n";
    }
  }
  return kDone;
}

absl::Status ReportOne(const Context& context, client::Client& client,
                       const v1::Artifact& artifact, const ReportFlags& flags) {
  const fs::path folder =
      flags.out.empty()
          ? CacheFolder() / "reports" / client::Client::ShortName(flags.job)
          : fs::path(flags.out);
  CONDENSE_ASSIGN_OR_RETURN(const std::string page,
                            SaveReport(client, artifact, folder));
  if (context.json) {
    *context.out << JsonLine({{"profile", artifact.profile()},
                              {"verdict",
                               v1::Artifact::Verdict_Name(artifact.verdict())},
                              {"report", page}})
                 << "\n";
  } else {
    CONDENSE_ASSIGN_OR_RETURN(const Result result,
                              FetchResult(client, artifact, page));
    *context.out << ResultTable({result}, LocaleIsUtf8())
                 << ResultDetail(result);
  }
  return flags.open ? OpenInBrowser(page) : absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<v1::Artifact>> ChooseArtifacts(
    const std::vector<v1::Artifact>& artifacts, const std::string& profile) {
  if (artifacts.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NO_ARTIFACTS",
                     "the job has no artifacts",
                     {.hint = "see its state: condense get JOB"});
  }
  if (profile.empty()) return artifacts;
  std::vector<std::string> profiles;
  for (const v1::Artifact& artifact : artifacts) {
    if (artifact.profile() == profile) return std::vector{artifact};
    profiles.push_back(artifact.profile());
  }
  return MakeError(absl::StatusCode::kNotFound, "ARTIFACT_NOT_FOUND",
                   absl::StrCat("the job has no artifact for '", profile, "'"),
                   {.nearest = NearestName(profile, profiles)});
}

absl::StatusOr<Result> FetchResult(client::Client& client,
                                   const v1::Artifact& artifact,
                                   const std::string& where) {
  CONDENSE_ASSIGN_OR_RETURN(const std::string report,
                            client::ReadBlob(client, artifact.report_digest()));
  Result result = ReadReport(artifact, report);
  result.report = where;
  return result;
}

void PrintOutcome(const Context& context, client::Client& client,
                  const v1::Job& job, const std::string& out) {
  if (job.state() == v1::Job::FAILED) {
    PrintError(*context.err, ErrorFromProto(job.error()), context.json);
  }
  if (job.state() == v1::Job::CANCELLED) *context.out << "cancelled\n";
  if (job.artifacts().empty()) return;
  std::vector<Result> results;
  const std::string short_name = client::Client::ShortName(job.name());
  for (const v1::Artifact& artifact : job.artifacts()) {
    const std::string where =
        out.empty()
            ? absl::StrCat("condense report ", short_name)
            : (fs::path(out) / artifact.profile() / "report.html").string();
    auto result = FetchResult(client, artifact, where);
    if (!result.ok()) PrintError(*context.err, result.status(), context.json);
    results.push_back(result.ok() ? *std::move(result)
                                  : ReadReport(artifact, ""));
  }
  *context.out << "\n" << ResultTable(results, LocaleIsUtf8());
}

int Download(const Context& context, const DownloadFlags& flags) {
  client::Client client(context.client);
  auto artifacts = client.ListArtifacts(flags.job);
  if (artifacts.ok()) artifacts = ChooseArtifacts(*artifacts, flags.profile);
  if (!artifacts.ok()) return context.Fail(artifacts.status());
  for (const v1::Artifact& artifact : *artifacts) {
    const int code = DownloadOne(context, client, artifact, flags.out);
    if (code != kDone) return code;
  }
  return kDone;
}

int Report(const Context& context, const ReportFlags& flags) {
  client::Client client(context.client);
  auto artifacts = client.ListArtifacts(flags.job);
  if (artifacts.ok()) artifacts = ChooseArtifacts(*artifacts, flags.profile);
  if (!artifacts.ok()) return context.Fail(artifacts.status());
  for (const v1::Artifact& artifact : *artifacts) {
    const absl::Status status = ReportOne(context, client, artifact, flags);
    if (!status.ok()) return context.Fail(status);
  }
  return kDone;
}

}  // namespace condense::cli
