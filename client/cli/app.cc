#include "client/cli/app.h"

#include <functional>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/context.h"
#include "client/cli/output.h"
#include "common/error.h"

namespace condense::cli {

int Context::Fail(const absl::Status& status) const {
  PrintError(*err, status, json);
  return ExitCodeOf(status);
}

namespace {

constexpr char kFooter[] = R"(
Examples:
  condense submit --model net.onnx --recipe recipe.yaml --data train=faces/ --data test=test/ \
                  --profile onnxruntime-cpu-x86-vnni --watch --out artifacts/
  condense watch j-8f3k2
  condense list --json | jq -r .name

The server and the project may stand in the environment as CONDENSE_SERVER and
CONDENSE_PROJECT. A job is named j-8f3k2 or projects/default/jobs/j-8f3k2.

Exit codes: 0 done, every verdict PASSED; 1 other error; 2 wrong usage or
invalid recipe; 3 job succeeded with another verdict; 4 job failed;
5 job cancelled; 6 server not reachable.)";

// The flags of every command, and which command was chosen.
struct Flags {
  SubmitFlags submit;
  WatchFlags watch;
  ListFlags list;
  DownloadFlags download;
  ReportFlags report;
  std::string job;
  std::string profile;
  std::string model;
  double retry_seconds = 60;
  std::function<int(const Context&)> run;
};

// Adds a command; `run` is called when it is chosen.
CLI::App* Command(CLI::App& app, Flags* flags, const std::string& group,
                  const std::string& name, const std::string& about,
                  std::function<int(const Context&)> run) {
  CLI::App* command = app.add_subcommand(name, about);
  command->group(group);
  command->callback([flags, run = std::move(run)] { flags->run = run; });
  return command;
}

void AddRetry(CLI::App* command, Flags* flags) {
  command
      ->add_option("--retry", flags->retry_seconds,
                   "How long to look for a server that went away")
      ->type_name("SECONDS")
      ->group("Afterwards")
      ->check(CLI::Validator(CLI::NonNegativeNumber).description(""))
      ->capture_default_str();
}

void AddSubmit(CLI::App& app, Flags* flags) {
  SubmitFlags& f = flags->submit;
  CLI::App* c = Command(app, flags, "Jobs", "submit", "Upload and start a job",
                        [&f](const Context& x) { return Submit(x, f); });
  const std::string in = "Inputs";
  c->add_option("--model", f.model, "The model to compress, ONNX")
      ->required()
      ->type_name("FILE")
      ->group(in);
  c->add_option("--recipe", f.recipe, "What to do with it, YAML or JSON")
      ->required()
      ->type_name("FILE")
      ->group(in);
  c->add_option("--data", f.data,
                "A data set: a file or a folder; repeat for each")
      ->type_name("NAME=PATH")
      ->group(in)
      ->allow_extra_args(false);
  c->add_option("--teacher", f.teacher, "A teacher for distillation, ONNX")
      ->type_name("FILE")
      ->group(in);
  c->add_option("--profile", f.profiles,
                "A device to make an artifact for; repeat, or split by commas")
      ->required()
      ->type_name("ID")
      ->group(in)
      ->delimiter(',')
      ->allow_extra_args(false);
  c->add_option(
       "--gate", f.gates,
       "A bound that adds to the recipe's, e.g. max_accuracy_drop=0.01")
      ->type_name("KEY=VALUE")
      ->group(in)
      ->allow_extra_args(false);
  const std::string job = "The job";
  c->add_option("--name", f.name, "A title for people")
      ->group(job)
      ->type_name("TEXT");
  c->add_option("--label", f.labels, "A label; repeat for each")
      ->type_name("KEY=VALUE")
      ->group(job)
      ->allow_extra_args(false);
  c->add_option("--priority", f.priority, "Higher runs first")
      ->check(CLI::Range(-1000, 1000).description(""))
      ->group(job)
      ->type_name("-1000..1000")
      ->capture_default_str();
  c->add_option("--device", f.device, "What to train on: any, cpu or cuda")
      ->check(CLI::IsMember({"any", "cpu", "cuda"}).description(""))
      ->type_name("KIND")
      ->group(job)
      ->capture_default_str();
  c->add_option("--request-id", f.request_id,
                "Makes repeating the call safe; default: a new one")
      ->type_name("UUID")
      ->group(job);
  const std::string after = "Afterwards";
  c->add_flag("--watch", f.watch, "Show progress until the job ends")
      ->group(after);
  c->add_flag("--wait", f.wait, "Wait for the end without showing progress")
      ->group(after);
  c->add_option("--out", f.out,
                "Wait, then download the artifacts to DIR/PROFILE/")
      ->type_name("DIR")
      ->group(after);
  AddRetry(c, flags);
}

void AddJobs(CLI::App& app, Flags* flags) {
  auto job = [&](CLI::App* c, std::string* to) {
    c->add_option("job", *to, "j-8f3k2, or the full name")
        ->required()
        ->type_name("JOB");
  };
  const std::string group = "Jobs";
  CLI::App* watch =
      Command(app, flags, group, "watch", "Follow a job until it ends",
              [flags](const Context& x) { return Watch(x, flags->watch); });
  job(watch, &flags->watch.job);
  watch
      ->add_option("--from", flags->watch.from_sequence,
                   "The first event wanted")
      ->check(CLI::Validator(CLI::PositiveNumber).description(""))
      ->type_name("SEQUENCE")
      ->capture_default_str();
  AddRetry(watch, flags);
  job(Command(app, flags, group, "get", "Show where a job stands",
              [flags](const Context& x) { return Get(x, flags->job); }),
      &flags->job);
  CLI::App* list =
      Command(app, flags, group, "list", "Show jobs, newest first",
              [flags](const Context& x) { return List(x, flags->list); });
  list->add_option("--page-size", flags->list.page_size, "Jobs per call")
      ->check(CLI::Range(1, 1000).description(""))
      ->type_name("N")
      ->capture_default_str();
  list->add_option("--limit", flags->list.limit, "Jobs in all; 0: every one")
      ->check(CLI::Validator(CLI::NonNegativeNumber).description(""))
      ->type_name("N")
      ->capture_default_str();
  job(Command(app, flags, group, "cancel", "End a job",
              [flags](const Context& x) { return Cancel(x, flags->job); }),
      &flags->job);
}

void AddResults(CLI::App& app, Flags* flags) {
  auto job = [&](CLI::App* c, std::string* to) {
    c->add_option("job", *to, "j-8f3k2, or the full name")
        ->required()
        ->type_name("JOB");
  };
  const std::string group = "Results";
  job(Command(app, flags, group, "artifacts", "List what a job has made",
              [flags](const Context& x) { return Artifacts(x, flags->job); }),
      &flags->job);
  CLI::App* download = Command(
      app, flags, group, "download", "Fetch artifacts to DIR/PROFILE/",
      [flags](const Context& x) { return Download(x, flags->download); });
  job(download, &flags->download.job);
  download->add_option("--out", flags->download.out, "Where to put them")
      ->required()
      ->type_name("DIR");
  download->add_option("--profile", flags->download.profile, "Only this one")
      ->type_name("ID");
  CLI::App* report =
      Command(app, flags, group, "report", "Show a job's report",
              [flags](const Context& x) { return Report(x, flags->report); });
  job(report, &flags->report.job);
  report->add_flag("--open", flags->report.open, "Show the page in a browser");
  report->add_option("--profile", flags->report.profile, "Only this one")
      ->type_name("ID");
  report
      ->add_option("--out", flags->report.out,
                   "Where to put report.html; default: your cache folder")
      ->type_name("DIR");
}

void AddInformation(CLI::App& app, Flags* flags) {
  const std::string group = "Server";
  CLI::App* profiles =
      app.add_subcommand("profiles", "Devices that artifacts can be made for");
  profiles->group(group);
  profiles->require_subcommand(1);
  Command(*profiles, flags, "Commands", "list", "All device profiles",
          [](const Context& x) { return ProfilesList(x); });
  Command(*profiles, flags, "Commands", "show", "One device profile",
          [flags](const Context& x) { return ProfilesShow(x, flags->profile); })
      ->add_option("id", flags->profile, "The profile's id")
      ->required()
      ->type_name("ID");
  Command(app, flags, group, "workers", "Workers the server knows",
          [](const Context& x) { return Workers(x); });
  Command(app, flags, group, "health", "Ask whether the server takes calls",
          [](const Context& x) { return Health(x); });
}

// The rest of its command line belongs to condense-engine.
void AddAnalyze(CLI::App& app, Flags* flags) {
  CLI::App* c = Command(app, flags, "Without a server", "analyze",
                        "Show what is in a model and what can be compressed",
                        nullptr);
  c->set_help_flag();
  c->fallthrough(false);
  c->prefix_command();
  c->callback([c, flags] {
    flags->run = [rest = c->remaining()](const Context& context) {
      std::vector<std::string> arguments;
      if (context.json) arguments.push_back("--json");
      for (const std::string& word : rest) {
        if (word == "--model") continue;
        arguments.push_back(absl::StartsWith(word, "--model=") ? word.substr(8)
                                                               : word);
      }
      return Analyze(context, arguments);
    };
  });
}

// The innermost command that was named.
const CLI::App* Chosen(const CLI::App& app) {
  const CLI::App* chosen = &app;
  while (!chosen->get_subcommands().empty()) {
    chosen = chosen->get_subcommands().front();
  }
  return chosen;
}

// The valid name nearest to a word: a flag for a flag, else a command.
std::string NearestTo(const std::string& word, const CLI::App& chosen,
                      const CLI::App& app) {
  std::vector<std::string> names;
  if (absl::StartsWith(word, "-")) {
    for (const CLI::App* level : {&chosen, &app}) {
      for (const CLI::Option* option : level->get_options()) {
        for (const std::string& name : option->get_lnames()) {
          names.push_back(name);
        }
      }
    }
  } else {
    for (const CLI::App* command : chosen.get_subcommands(nullptr)) {
      names.push_back(command->get_name());
    }
  }
  const bool is_flag = absl::StartsWith(word, "-");
  std::string bare = word.substr(0, word.find('='));
  bare.erase(0, bare.find_first_not_of('-'));
  const std::string nearest = NearestName(bare, names);
  return is_flag && !nearest.empty() ? "--" + nearest : nearest;
}

absl::Status UsageError(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* chosen = Chosen(app);
  std::string path = "condense";
  if (chosen != &app) {
    if (chosen->get_parent() != &app) {
      absl::StrAppend(&path, " ", chosen->get_parent()->get_name());
    }
    absl::StrAppend(&path, " ", chosen->get_name());
  }
  const std::string hint = absl::StrCat("see ", path, " --help");
  const std::vector<std::string> rest = app.remaining(true);
  if (rest.empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "WRONG_USAGE",
                     absl::StrCat(path, ": ", error.what()), {.hint = hint});
  }
  const bool is_flag = absl::StartsWith(rest[0], "-");
  const bool takes_commands = !chosen->get_subcommands(nullptr).empty();
  return MakeError(absl::StatusCode::kInvalidArgument,
                   is_flag          ? "UNKNOWN_FLAG"
                   : takes_commands ? "UNKNOWN_COMMAND"
                                    : "WRONG_USAGE",
                   absl::StrCat("'", path, "' has no ",
                                is_flag          ? "flag"
                                : takes_commands ? "command"
                                                 : "place for the argument",
                                " '", rest[0], "'"),
                   {.nearest = NearestTo(rest[0], *chosen, app), .hint = hint});
}

}  // namespace

int RunCondense(const std::vector<std::string>& arguments, std::ostream& out,
                std::ostream& err, int out_fd) {
  Context context{.out = &out, .err = &err, .out_fd = out_fd};
  Flags flags;
  CLI::App app("condense: compress a trained model for a device", "condense");
  app.fallthrough();
  app.require_subcommand(1);
  app.add_option("--server", context.client.server, "The server's HOST:PORT")
      ->envname("CONDENSE_SERVER")
      ->type_name("ADDR")
      ->capture_default_str();
  app.add_option("--project", context.client.project, "The project of the jobs")
      ->envname("CONDENSE_PROJECT")
      ->type_name("NAME")
      ->capture_default_str();
  app.add_flag("--json", context.json,
               "Only JSON on stdout, one object per line");
  app.set_version_flag("--version", "condense " CONDENSE_VERSION);
  AddSubmit(app, &flags);
  AddJobs(app, &flags);
  AddResults(app, &flags);
  AddInformation(app, &flags);
  AddAnalyze(app, &flags);
  app.footer(kFooter);
  try {
    // CLI11 takes them in reverse.
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error, out, err);
    // --json may stand after what could not be read.
    for (const std::string& word : arguments) {
      if (word == "--json") context.json = true;
    }
    return context.Fail(UsageError(app, error));
  }
  context.client.watch_retry = absl::Seconds(flags.retry_seconds);
  return flags.run(context);
}

}  // namespace condense::cli
