#include "workers/engine/pipeline/run_state.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "workers/engine/export/onnx.h"
#include "workers/engine/import/onnx.h"

namespace condense::pipeline {
namespace {

using nlohmann::json;

constexpr char kFinished[] = "finished/";
// Of tensors; those of a training have the names that it gave them.
constexpr char kSynthetic[] = "synthetic/";

absl::StatusOr<absl::Cord> GraphBytes(const graph::Graph& graph) {
  CONDENSE_ASSIGN_OR_RETURN(std::string bytes,
                            onnx_export::ExportOnnx(graph, {.raw = true}));
  return absl::Cord(std::move(bytes));
}

absl::StatusOr<graph::Graph> GraphOf(const absl::Cord& bytes) {
  return onnx_import::ImportOnnx(std::string(bytes), {.raw = true});
}

template <typename T>
json Optional(const std::optional<T>& value) {
  return value.has_value() ? json(*value) : json();
}

template <typename T>
std::optional<T> OptionalOf(const json& value) {
  return value.is_null() ? std::nullopt : std::optional<T>(value.get<T>());
}

json RowToJson(const StageRow& row) {
  const report::Stage& s = row.stage;
  return {{"name", s.name},
          {"technique", s.technique},
          {"seconds", s.seconds},
          {"steps", s.steps},
          {"before", Optional(s.metric_before)},
          {"after", Optional(s.metric_after)},
          {"ended", s.ended},
          {"cut", s.cut},
          {"profile", row.profile}};
}

StageRow RowOf(const json& row) {
  StageRow out;
  out.stage.name = row["name"];
  out.stage.technique = row["technique"];
  out.stage.seconds = row["seconds"];
  out.stage.steps = row["steps"];
  out.stage.metric_before = OptionalOf<double>(row["before"]);
  out.stage.metric_after = OptionalOf<double>(row["after"]);
  out.stage.ended = row["ended"];
  out.stage.cut = row["cut"];
  out.profile = row["profile"];
  return out;
}

json FiguresToJson(const training::Measurement& figures) {
  return {{"metrics", figures.metrics},
          {"main", figures.main},
          {"samples", figures.samples}};
}

training::Measurement FiguresOf(const json& figures) {
  return {figures.at("metrics").get<std::map<std::string, double>>(),
          figures.at("main"), figures.at("samples")};
}

json ComputeToJson(const ComputeChoice& choice) {
  return {{"precision", static_cast<int>(choice.precision)},
          {"channels_last", choice.channels_last}};
}

ComputeChoice ComputeOf(const json& choice) {
  return {static_cast<runtime::Precision>(choice.at("precision").get<int>()),
          choice.at("channels_last")};
}

json StateToJson(const RunState& state) {
  json out = {{"task", state.task},
              {"steps", state.steps},
              {"elapsed_seconds", state.elapsed_seconds},
              {"baseline_seconds", state.baseline_seconds},
              {"frozen", state.frozen},
              {"weight_snr_db", state.weight_snr_db},
              {"curves", state.curves},
              {"warnings", state.warnings},
              {"rows", json::array()},
              {"compute", ComputeToJson(state.compute)}};
  for (const StageRow& row : state.rows) out["rows"].push_back(RowToJson(row));
  if (state.baseline) out["baseline"] = FiguresToJson(*state.baseline);
  if (state.current) out["current"] = FiguresToJson(*state.current);
  if (state.shared_figures) {
    out["shared"] = FiguresToJson(*state.shared_figures);
  }
  if (state.training.has_value()) {
    const training::Position& p = state.training->position;
    out["position"] = {p.epoch, p.batch, p.step};
  }
  return out;
}

void StateOf(const json& in, RunState* state) {
  state->task = in["task"];
  state->steps = in["steps"];
  state->elapsed_seconds = in["elapsed_seconds"];
  state->baseline_seconds = in["baseline_seconds"];
  state->frozen = in["frozen"].get<std::map<std::string, std::string>>();
  state->weight_snr_db =
      in["weight_snr_db"].get<std::map<std::string, double>>();
  state->curves = in["curves"].get<decltype(state->curves)>();
  state->warnings = in["warnings"].get<std::vector<std::string>>();
  state->compute = ComputeOf(in.at("compute"));
  for (const json& row : in["rows"]) state->rows.push_back(RowOf(row));
  if (in.contains("baseline")) state->baseline = FiguresOf(in["baseline"]);
  if (in.contains("current")) state->current = FiguresOf(in["current"]);
  if (in.contains("shared")) state->shared_figures = FiguresOf(in["shared"]);
  if (in.contains("position")) {
    const json& p = in["position"];
    state->training.emplace();
    state->training->position = {p[0], p[1], p[2]};
  }
}

absl::Status Corrupt(const std::string& what) {
  return MakeError(absl::StatusCode::kDataLoss, "CHECKPOINT_CORRUPT",
                   absl::StrCat("the checkpoint cannot be read: ", what));
}

}  // namespace

void KeepWeightNoise(const std::map<std::string, double>& snr_db,
                     const std::string& profile, RunState* state) {
  for (const auto& [name, db] : snr_db) {
    state->weight_snr_db[absl::StrCat(profile, "/", name)] = db;
  }
}

absl::StatusOr<GraphBlobs> GraphsOf(const RunState& state) {
  GraphBlobs blobs;
  CONDENSE_ASSIGN_OR_RETURN(blobs["graph"], GraphBytes(state.graph));
  if (!state.shared.outputs().empty()) {
    CONDENSE_ASSIGN_OR_RETURN(blobs["shared"], GraphBytes(state.shared));
  }
  for (const auto& [profile, graph] : state.finished) {
    CONDENSE_ASSIGN_OR_RETURN(blobs[kFinished + profile], GraphBytes(graph));
  }
  return blobs;
}

training::Checkpoint ToCheckpoint(const RunState& state,
                                  const GraphBlobs& graphs) {
  training::Checkpoint checkpoint;
  checkpoint.step = state.steps;
  checkpoint.blobs = graphs;
  checkpoint.blobs["state.json"] = absl::Cord(StateToJson(state).dump());
  if (state.training.has_value()) checkpoint.tensors = state.training->tensors;
  for (const auto& [name, tensor] : state.synthetic) {
    checkpoint.tensors[kSynthetic + name] = tensor;
  }
  return checkpoint;
}

absl::StatusOr<RunState> FromCheckpoint(
    const training::Checkpoint& checkpoint) {
  RunState state;
  const auto text = checkpoint.blobs.find("state.json");
  const auto graph = checkpoint.blobs.find("graph");
  if (text == checkpoint.blobs.end() || graph == checkpoint.blobs.end()) {
    return Corrupt("a part is missing");
  }
  try {
    StateOf(json::parse(std::string(text->second)), &state);
  } catch (const json::exception& error) {
    return Corrupt(error.what());
  }
  CONDENSE_ASSIGN_OR_RETURN(state.graph, GraphOf(graph->second));
  for (const auto& [name, bytes] : checkpoint.blobs) {
    absl::string_view profile = name;
    if (name == "shared") {
      CONDENSE_ASSIGN_OR_RETURN(state.shared, GraphOf(bytes));
    } else if (absl::ConsumePrefix(&profile, kFinished)) {
      CONDENSE_ASSIGN_OR_RETURN(state.finished[std::string(profile)],
                                GraphOf(bytes));
    }
  }
  for (const auto& [name, tensor] : checkpoint.tensors) {
    absl::string_view part = name;
    if (absl::ConsumePrefix(&part, kSynthetic)) {
      state.synthetic[std::string(part)] = tensor;
    } else if (state.training.has_value()) {
      state.training->tensors[name] = tensor;
    }
  }
  return state;
}

absl::StatusOr<graph::Graph> Normalized(const graph::Graph& graph) {
  CONDENSE_ASSIGN_OR_RETURN(const absl::Cord bytes, GraphBytes(graph));
  return GraphOf(bytes);
}

}  // namespace condense::pipeline
