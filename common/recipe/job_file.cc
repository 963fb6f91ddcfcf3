#include "common/recipe/job_file.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/files.h"
#include "common/recipe/yaml_proto.h"
#include "common/status_macros.h"
#include "yaml-cpp/yaml.h"

namespace condense::recipe {
namespace {

namespace fs = std::filesystem;

// Takes an inline recipe out of the text and returns it as text of its own; ""
// if `recipe` is not a mapping.
std::string TakeInlineRecipe(std::string* text) {
  try {
    YAML::Node root = YAML::Load(*text);
    if (!root.IsMap() || !root["recipe"] || !root["recipe"].IsMap()) return "";
    YAML::Emitter recipe;
    recipe << root["recipe"];
    root.remove("recipe");
    YAML::Emitter rest;
    rest << root;
    *text = rest.c_str();
    return absl::StrCat(recipe.c_str(), "\n");
  } catch (const YAML::Exception&) {
    return "";  // YamlToProto words the error
  }
}

absl::StatusOr<std::string> FindJobFile(const std::string& job_dir) {
  for (const char* name : {"job.json", "job.yaml", "job.yml"}) {
    const fs::path path = fs::path(job_dir) / name;
    std::error_code error;
    if (fs::exists(path, error)) return path.string();
  }
  return MakeError(absl::StatusCode::kNotFound, "NO_JOB_FILE",
                   absl::StrCat("no job.json or job.yaml in ", job_dir));
}

std::string Absolute(const std::string& job_dir, const std::string& path) {
  return path.empty() ? path : (fs::absolute(job_dir) / path).string();
}

absl::Status Missing(const char* key) {
  return MakeError(absl::StatusCode::kInvalidArgument, "MISSING_KEY",
                   absl::StrCat("the job file lacks '", key, "'"),
                   {.field = key});
}

}  // namespace

absl::StatusOr<LoadedJobFile> LoadJobFile(const std::string& job_dir) {
  CONDENSE_ASSIGN_OR_RETURN(std::string path, FindJobFile(job_dir));
  CONDENSE_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  LoadedJobFile loaded;
  loaded.recipe_text = TakeInlineRecipe(&text);
  Positions positions;
  CONDENSE_RETURN_IF_ERROR(YamlToProto(text, {}, &loaded.file, &positions));
  v1::JobFile& file = loaded.file;
  if (file.model().empty()) return Missing("model");
  if (file.recipe().empty() && loaded.recipe_text.empty()) {
    return Missing("recipe");
  }
  if (file.profiles().empty()) return Missing("profiles");
  file.set_model(Absolute(job_dir, file.model()));
  file.set_teacher(Absolute(job_dir, file.teacher()));
  file.set_resume_from(Absolute(job_dir, file.resume_from()));
  for (auto& [name, data] : *file.mutable_data()) {
    data = Absolute(job_dir, data);
  }
  if (loaded.recipe_text.empty()) {
    CONDENSE_ASSIGN_OR_RETURN(loaded.recipe_text,
                              ReadFile(Absolute(job_dir, file.recipe())));
  }
  return loaded;
}

}  // namespace condense::recipe
