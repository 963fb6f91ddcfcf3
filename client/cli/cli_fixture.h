#ifndef CONDENSE_CLIENT_CLI_CLI_FIXTURE_H_
#define CONDENSE_CLIENT_CLI_CLI_FIXTURE_H_

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "client/cli/app.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/fake_server.h"

namespace condense::cli {

// Runs whole command lines against a fake server in this process. For tests.
class CliFixture : public testing::Test {
 protected:
  CliFixture()
      : root_(std::filesystem::path(testing::TempDir()) /
              (std::string("cli_") +
               testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  ~CliFixture() override { std::filesystem::remove_all(root_); }

  // The exit code; what was printed is in out_ and err_.
  int Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--server", server_.address()});
    return RunAlone(arguments);
  }
  int RunAlone(const std::vector<std::string>& arguments) {
    std::ostringstream out;
    std::ostringstream err;
    const int code = RunCondense(arguments, out, err, -1);
    out_ = out.str();
    err_ = err.str();
    return code;
  }
  // Each line of stdout as an object.
  std::vector<nlohmann::json> JsonLines() const {
    std::vector<nlohmann::json> lines;
    for (const auto line : absl::StrSplit(out_, '\n', absl::SkipEmpty())) {
      lines.push_back(nlohmann::json::parse(std::string(line)));
    }
    return lines;
  }
  std::string Write(const std::string& name, const std::string& content) {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name, std::ios::binary) << content;
    return (root_ / name).string();
  }
  // Lets the job j-1 have succeeded, with an artifact of two files.
  void FinishJob(v1::Artifact::Verdict verdict) {
    FakeServerState& state = server_.state();
    state.events = SmallJobEvents();
    state.job.set_state(v1::Job::SUCCEEDED);
    state.job.set_last_sequence(static_cast<int64_t>(state.events.size()));
    v1::Artifact* artifact = state.job.add_artifacts();
    artifact->set_profile("onnxruntime-cpu-x86-vnni");
    artifact->set_verdict(verdict);
    for (const char* name : {"model.onnx", "report.html"}) {
      v1::Artifact::File* file = artifact->add_files();
      file->set_name(name);
      file->set_digest(server_.AddBlob(name));
      file->set_size_bytes(10);
    }
    artifact->set_report_digest(server_.AddBlob(
        R"({"baseline": {"size_bytes": 1000, "metrics": {"top1": 0.98}},
            "compressed": {"size_bytes": 200, "metrics": {"top1": 0.97}}})"));
  }

  FakeServer server_;
  std::filesystem::path root_;
  std::string out_;
  std::string err_;
};

}  // namespace condense::cli

#endif  // CONDENSE_CLIENT_CLI_CLI_FIXTURE_H_
