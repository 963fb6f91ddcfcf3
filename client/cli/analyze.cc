#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/output.h"
#include "common/error.h"
#include "common/files.h"

namespace condense::cli {
namespace {
constexpr char kEngine[] = "condense-engine";
}  // namespace

int Analyze(const Context& context, const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {kEngine, "analyze"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const auto beside = std::filesystem::path(SelfPath()).parent_path() / kEngine;
  context.out->flush();
  if (access(beside.c_str(), X_OK) == 0) execv(beside.c_str(), argv.data());
  execvp(kEngine, argv.data());
  return context.Fail(MakeError(
      absl::StatusCode::kNotFound, "ENGINE_NOT_FOUND",
      absl::StrCat("cannot start condense-engine: ", std::strerror(errno)),
      {.hint = "put condense-engine beside condense, or into PATH"}));
}

}  // namespace condense::cli
