// condense-engine analyze.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <system_error>

#include "common/error.h"
#include "common/files.h"
#include "common/profiles/profiles.h"
#include "common/status_macros.h"
#include "common/terminal.h"
#include "nlohmann/json.hpp"
#include "workers/engine/graph/text.h"
#include "workers/engine/pipeline/analysis.h"
#include "workers/engine/pipeline/analysis_text.h"
#include "workers/engine/pipeline/commands.h"
#include "workers/engine/pipeline/load_model.h"

namespace condense::pipeline {
namespace {

constexpr char kDefaultProfile[] = "onnxruntime-cpu-x86-vnni";
// Lines of a terminal that are not for layers, and the fewest layers shown.
constexpr int kOtherLines = 30;
constexpr int kLayersMin = 12;

const std::map<std::string, AnalysisSort>& Sorts() {
  static const auto& sorts = *new std::map<std::string, AnalysisSort>{
      {"bytes", AnalysisSort::kBytes},
      {"macs", AnalysisSort::kMacs},
      {"activations", AnalysisSort::kActivations},
      {"time", AnalysisSort::kTime},
      {"order", AnalysisSort::kOrder}};
  return sorts;
}

absl::StatusOr<AnalysisSort> SortOf(const std::string& name) {
  auto it = Sorts().find(name);
  if (it != Sorts().end()) return it->second;
  std::vector<std::string> names;
  for (const auto& [known, sort] : Sorts()) names.push_back(known);
  return MakeError(absl::StatusCode::kInvalidArgument, "UNKNOWN_SORT",
                   "nothing is sorted by '" + name + "'",
                   {.field = "--sort",
                    .nearest = NearestName(name, names),
                    .hint = "bytes, macs, activations, time or order"});
}

}  // namespace

absl::Status Analyze(const std::string& model, const AnalyzeOptions& options) {
  AnalysisTextOptions text;
  CONDENSE_ASSIGN_OR_RETURN(text.sort, SortOf(options.sort));
  text.default_profile = options.profile.empty();
  CONDENSE_ASSIGN_OR_RETURN(
      const v1::DeviceProfile profile,
      profiles::LoadProfile(text.default_profile ? kDefaultProfile
                                                 : options.profile));
  CONDENSE_ASSIGN_OR_RETURN(const graph::Graph graph,
                            LoadModelWith(model, options.model));
  if (options.text) {
    std::fputs(graph::ToText(graph, graph::TextForm::kElided).c_str(), stdout);
    return absl::OkStatus();
  }
  std::error_code unknown;
  const auto size_bytes =
      static_cast<int64_t>(std::filesystem::file_size(model, unknown));
  CONDENSE_ASSIGN_OR_RETURN(Analysis analysis,
                            AnalyzeGraph(graph, size_bytes, profile));
  if (options.json) {
    std::printf("%s\n", AnalysisJson(graph, analysis).dump().c_str());
    return absl::OkStatus();
  }
  analysis.name = std::filesystem::path(model).filename().string();
  if (isatty(STDOUT_FILENO) == 1) {
    const TerminalSize size = SizeOfTerminal(STDOUT_FILENO);
    text.width = size.width;
    text.layers_max =
        options.all ? 0 : std::max(kLayersMin, size.height - kOtherLines);
  }
  std::fputs(AnalysisText(graph, analysis, text).c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace condense::pipeline
