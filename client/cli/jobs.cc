#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "client/cli/commands.h"
#include "client/cli/follow.h"
#include "client/cli/job_view.h"
#include "client/cli/output.h"
#include "common/error.h"

namespace condense::cli {
namespace {

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) +
         absl::Nanoseconds(time.nanos());
}

std::string ClockText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", ToTime(time),
                          absl::LocalTimeZone());
}

// "RUNNING DISTILLING 46 %", "QUEUED NO_MATCHING_WORKER".
std::string Standing(const v1::Job& job) {
  std::string text = v1::Job::State_Name(job.state());
  if (job.state() == v1::Job::QUEUED) {
    if (job.pending_reason() != v1::Job::PENDING_REASON_UNSPECIFIED) {
      absl::StrAppend(&text, " ",
                      v1::Job::PendingReason_Name(job.pending_reason()));
    }
    if (job.has_queue_position()) {
      absl::StrAppend(&text, " (place ", job.queue_position(), ")");
    }
  }
  if (job.state() != v1::Job::RUNNING) return text;
  if (job.phase() != v1::Job::PHASE_UNSPECIFIED) {
    absl::StrAppend(&text, " ", v1::Job::Phase_Name(job.phase()));
  }
  if (job.progress().has_fraction()) {
    absl::StrAppend(&text, " ", Percent(job.progress().fraction(), 0));
  }
  return text;
}

std::string AttemptText(const v1::Attempt& attempt) {
  std::string text =
      absl::StrCat(attempt.number(), " on ", attempt.worker(), ", ",
                   attempt.outcome() == v1::Attempt::OUTCOME_UNSPECIFIED
                       ? "running"
                       : v1::Attempt::Outcome_Name(attempt.outcome()));
  if (!attempt.reason().empty()) {
    absl::StrAppend(&text, " ", attempt.reason());
  }
  if (attempt.has_end_time()) {
    absl::StrAppend(&text, " after ",
                    HumanDuration(ToTime(attempt.end_time()) -
                                  ToTime(attempt.start_time())));
  }
  if (attempt.has_resumed_from_step()) {
    absl::StrAppend(&text, ", resumed from step ", attempt.resumed_from_step());
  }
  return text;
}

std::string VerdictsText(const v1::Job& job) {
  std::string text;
  for (const v1::Artifact& artifact : job.artifacts()) {
    absl::StrAppend(&text, text.empty() ? "" : " ",
                    v1::Artifact::Verdict_Name(artifact.verdict()));
  }
  return text;
}

void PrintJob(const Context& context, const v1::Job& job) {
  std::vector<std::vector<std::string>> rows = {{"name", job.name()},
                                                {"state", Standing(job)}};
  if (!job.spec().display_name().empty()) {
    rows.push_back({"title", job.spec().display_name()});
  }
  rows.push_back(
      {"model", absl::StrCat(job.spec().model().filename(), "  ",
                             HumanBytes(job.spec().model().size_bytes()))});
  for (const std::string& profile : job.spec().profiles()) {
    rows.push_back({"profile", profile});
  }
  rows.push_back({"created", ClockText(job.create_time())});
  if (job.has_start_time() && job.has_end_time()) {
    rows.push_back({"took", HumanDuration(ToTime(job.end_time()) -
                                          ToTime(job.start_time()))});
  }
  for (const v1::Attempt& attempt : job.attempts()) {
    rows.push_back({"attempt", AttemptText(attempt)});
  }
  for (const v1::Artifact& artifact : job.artifacts()) {
    rows.push_back({"artifact", absl::StrCat(artifact.profile(), "  ",
                                             v1::Artifact::Verdict_Name(
                                                 artifact.verdict()))});
  }
  *context.out << Table(rows);
  if (job.state() == v1::Job::FAILED) {
    *context.out << ErrorText(ErrorFromProto(job.error())) << "\n";
  }
}

void PrintJobRow(const v1::Job& job,
                 std::vector<std::vector<std::string>>* rows) {
  rows->push_back({client::Client::ShortName(job.name()), Standing(job),
                   VerdictsText(job), ClockText(job.create_time()),
                   job.spec().display_name().empty()
                       ? job.spec().model().filename()
                       : job.spec().display_name()});
}

}  // namespace

int Get(const Context& context, const std::string& name) {
  client::Client client(context.client);
  auto job = client.GetJob(name);
  if (!job.ok()) return context.Fail(job.status());
  if (context.json) {
    *context.out << ToJson(*job) << "\n";
  } else {
    PrintJob(context, *job);
  }
  return kDone;
}

int Watch(const Context& context, const WatchFlags& flags) {
  client::Client client(context.client);
  auto job = Follow(context, client, flags.job, flags.from_sequence,
                    context.json ? FollowMode::kEvents : FollowMode::kText);
  if (!job.ok()) return context.Fail(job.status());
  if (!context.json) PrintOutcome(context, client, *job, "");
  return ExitCodeOf(*job);
}

int Cancel(const Context& context, const std::string& name) {
  client::Client client(context.client);
  auto job = client.CancelJob(name);
  if (!job.ok()) return context.Fail(job.status());
  if (context.json) {
    *context.out << ToJson(*job) << "\n";
  } else {
    *context.out << job->name() << " is " << v1::Job::State_Name(job->state())
                 << "\n";
  }
  return kDone;
}

int List(const Context& context, const ListFlags& flags) {
  client::Client client(context.client);
  std::vector<std::vector<std::string>> rows = {
      {"JOB", "STATE", "VERDICT", "CREATED", "TITLE"}};
  std::string token;
  int left = flags.limit > 0 ? flags.limit : -1;
  do {
    auto page = client.ListJobs(
        left > 0 ? std::min(left, flags.page_size) : flags.page_size, token);
    if (!page.ok()) return context.Fail(page.status());
    for (const v1::Job& job : page->jobs()) {
      if (left == 0) break;
      if (left > 0) --left;
      if (context.json) {
        *context.out << ToJson(job) << "\n";
      } else {
        PrintJobRow(job, &rows);
      }
    }
    token = page->next_page_token();
  } while (!token.empty() && left != 0);
  if (!context.json) *context.out << Table(rows);
  return kDone;
}

int Artifacts(const Context& context, const std::string& job) {
  client::Client client(context.client);
  auto artifacts = client.ListArtifacts(job);
  if (!artifacts.ok()) return context.Fail(artifacts.status());
  std::vector<std::vector<std::string>> rows = {
      {"PROFILE", "VERDICT", "FILE", "SIZE", "DIGEST"}};
  for (const v1::Artifact& artifact : *artifacts) {
    if (context.json) *context.out << ToJson(artifact) << "\n";
    for (const v1::Artifact::File& file : artifact.files()) {
      rows.push_back(
          {artifact.profile(), v1::Artifact::Verdict_Name(artifact.verdict()),
           file.name(), HumanBytes(file.size_bytes()), file.digest()});
    }
  }
  if (!context.json) *context.out << Table(rows);
  return kDone;
}

}  // namespace condense::cli
