#ifndef CONDENSE_COMMON_RECIPE_JOB_FILE_H_
#define CONDENSE_COMMON_RECIPE_JOB_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "condense/v1/engine.pb.h"

namespace condense::recipe {

// A job file with its recipe's text. Paths in `file` are absolute.
struct LoadedJobFile {
  v1::JobFile file;
  std::string recipe_text;
};

// Reads JOB_DIR/job.json or JOB_DIR/job.yaml (contract, section 2); `recipe`
// may be a path or the recipe itself. NOT_FOUND with reason NO_JOB_FILE, or
// errors as YamlToProto; MISSING_KEY for model, recipe or profiles.
absl::StatusOr<LoadedJobFile> LoadJobFile(const std::string& job_dir);

}  // namespace condense::recipe

#endif  // CONDENSE_COMMON_RECIPE_JOB_FILE_H_
