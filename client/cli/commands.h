#ifndef CONDENSE_CLIENT_CLI_COMMANDS_H_
#define CONDENSE_CLIENT_CLI_COMMANDS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/context.h"
#include "client/cli/result.h"
#include "condense/v1/job.pb.h"

namespace condense::cli {

// One function per command. Each prints its result to context.out, its errors
// to context.err, and returns the process's exit code (client/cli/output.h).

struct SubmitFlags {
  std::string model;
  std::string teacher;
  std::string recipe;
  std::vector<std::string> data;  // NAME=PATH
  std::vector<std::string> profiles;
  std::vector<std::string> gates;   // KEY=VALUE
  std::vector<std::string> labels;  // KEY=VALUE
  std::string name;
  std::string device = "any";
  std::string request_id;
  std::string out;
  int priority = 0;
  bool watch = false;
  bool wait = false;
};
int Submit(const Context& context, const SubmitFlags& flags);

struct WatchFlags {
  std::string job;
  int64_t from_sequence = 1;
};
int Watch(const Context& context, const WatchFlags& flags);

int Get(const Context& context, const std::string& job);
int Cancel(const Context& context, const std::string& job);
int Artifacts(const Context& context, const std::string& job);

struct ListFlags {
  // Per call.
  int page_size = 50;
  // In all; 0: every job.
  int limit = 0;
};
int List(const Context& context, const ListFlags& flags);

struct DownloadFlags {
  std::string job;
  // Empty: all.
  std::string profile;
  std::string out;
};
int Download(const Context& context, const DownloadFlags& flags);

struct ReportFlags {
  std::string job;
  // Empty: all.
  std::string profile;
  // Where to put report.html; empty: the user's cache folder.
  std::string out;
  // Show it in a browser.
  bool open = false;
};
int Report(const Context& context, const ReportFlags& flags);

int ProfilesList(const Context& context);
int ProfilesShow(const Context& context, const std::string& id);
int Workers(const Context& context);
// kDone when the server says SERVING, kOtherError when it says otherwise.
int Health(const Context& context);

// Becomes `condense-engine analyze` with these arguments: the one beside this
// binary, else the one in PATH. Returns only on failure.
int Analyze(const Context& context, const std::vector<std::string>& arguments);

// What several commands share.

// "KEY=VALUE" to its two sides; `flag` is for the error. Neither may be empty.
absl::StatusOr<std::pair<std::string, std::string>> SplitPair(
    const std::string& flag, const std::string& text);
// The job's artifacts, or only that of `profile`. NOT_FOUND with the nearest
// profile's name.
absl::StatusOr<std::vector<v1::Artifact>> ChooseArtifacts(
    const std::vector<v1::Artifact>& artifacts, const std::string& profile);
// Reads the artifact's report from the server; `where` becomes Result.report.
absl::StatusOr<Result> FetchResult(client::Client& client,
                                   const v1::Artifact& artifact,
                                   const std::string& where);
// Prints how a job in its final state ended, for people, with the table of its
// results; `out`: where the artifacts were downloaded to, or empty.
void PrintOutcome(const Context& context, client::Client& client,
                  const v1::Job& job, const std::string& out);

}  // namespace condense::cli

#endif  // CONDENSE_CLIENT_CLI_COMMANDS_H_
