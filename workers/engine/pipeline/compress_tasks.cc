#include "workers/engine/pipeline/compress_tasks.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "workers/engine/graph/cost.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/pipeline/mixed_precision.h"
#include "workers/engine/pipeline/quantize_settings.h"
#include "workers/engine/pipeline/settings.h"
#include "workers/engine/pruning/cut.h"
#include "workers/engine/pruning/importance.h"
#include "workers/engine/quantization/bit_sensitivity.h"
#include "workers/engine/quantization/post_training.h"
#include "workers/engine/quantization/quantizer_groups.h"
#include "workers/engine/quantization/quantizers_in_graph.h"

namespace condense::pipeline {

double TargetOf(const v1::Prune& prune) {
  return prune.target().has_macs() ? prune.target().macs()
                                   : prune.target().parameters();
}

absl::StatusOr<PruningPlan> PlanPruning(const Job& job, int stage, double share,
                                        const graph::Graph& graph) {
  const v1::Prune& prune = job.recipe().stages(stage).prune();
  CONDENSE_ASSIGN_OR_RETURN(const std::set<std::string> frozen,
                            FrozenNodes(job.parsed(), prune, stage, graph));
  PruningPlan out;
  out.coupling = pruning::FindCoupling(graph, frozen);
  const std::vector<double> scores = pruning::ChannelImportance(
      graph, out.coupling, CriterionOf(prune.criterion()),
      static_cast<uint64_t>(job.recipe().seed()));
  const graph::Cost original = graph::CostOf(job.model());
  pruning::PlanOptions options;
  const bool macs = prune.target().has_macs();
  options.budget = macs ? pruning::Budget::kMacs : pruning::Budget::kParameters;
  options.limit =
      share * static_cast<double>(macs ? original.macs : original.parameters);
  for (const v1::DeviceProfile& profile : job.profiles()) {
    options.channel_multiple =
        std::max<int64_t>(options.channel_multiple, profile.channel_multiple());
  }
  out.plan = pruning::MakePlan(graph, out.coupling, scores, options);
  return out;
}

absl::Status RunPruning(RunContext* context, const Task& task) {
  context->narrator().Phase(v1::Job::PRUNING);
  const absl::Time start = absl::Now();
  RunState& state = context->state();
  const v1::Prune& prune = context->job().recipe().stages(task.stage).prune();
  const double share = 1 - (1 - TargetOf(prune)) *
                               static_cast<double>(task.step) /
                               static_cast<double>(task.steps);
  CONDENSE_RETURN_IF_ERROR(graph::InferShapes(state.graph));
  CONDENSE_ASSIGN_OR_RETURN(
      const PruningPlan plan,
      PlanPruning(context->job(), task.stage, share, state.graph));
  CONDENSE_RETURN_IF_ERROR(
      pruning::CutChannels(plan.coupling, plan.plan.removed, &state.graph));
  for (const auto& [name, reason] : plan.coupling.frozen) {
    state.frozen["prune/" + name] = reason;
  }
  const graph::Cost cost = graph::CostOf(state.graph);
  const graph::Cost original = graph::CostOf(context->job().model());
  context->narrator().Log(absl::StrFormat(
      "removed %d channels: %.1f %% of the multiply-accumulates and %.1f %% "
      "of the parameters are left",
      plan.plan.removed_channels,
      100.0 * static_cast<double>(cost.macs) /
          static_cast<double>(original.macs),
      100.0 * static_cast<double>(cost.parameters) /
          static_cast<double>(original.parameters)));
  context->Row(task).seconds += absl::ToDoubleSeconds(absl::Now() - start);
  return absl::OkStatus();
}

namespace {

// Only where the recipe names a number: the default is "up to".
void WarnOfFewSamples(RunContext* context, int64_t given) {
  const v1::DataSource& source =
      context->job().parsed().recipe.data().calibration();
  if (!source.has_samples() || source.samples() <= given) return;
  context->narrator().Warn(
      "FEWER_CALIBRATION_SAMPLES",
      absl::StrFormat("the recipe asks for %d calibration samples, the data "
                      "has %d",
                      source.samples(), given));
}

// The order in which the stage's blocks quantize their layers, by what each
// loses when it is quantized alone; said in the log.
absl::Status GroupQuantizers(RunContext* context, const v1::Quantize& quantize,
                             data::Loader* loader) {
  graph::Graph* graph = &context->state().graph;
  const std::vector<quantization::WeightLayer> layers =
      quantization::WeightLayers(*graph);
  std::vector<size_t> turn(layers.size());
  std::iota(turn.begin(), turn.end(), 0);
  if (quantize.blocks().order() != v1::Blocks::FORWARD) {
    std::vector<std::vector<quantization::WeightGrid>> grids;
    for (const auto& layer : layers) grids.push_back({layer.grid});
    CONDENSE_ASSIGN_OR_RETURN(
        const auto losses,
        MeasureLosses(context->job().recipe().task(),
                      quantization::WithoutQuantizers(*graph), layers, grids,
                      quantize, loader, context->job().device(),
                      static_cast<uint64_t>(context->job().recipe().seed())));
    const bool robust = quantize.blocks().order() == v1::Blocks::ROBUST_FIRST;
    std::stable_sort(turn.begin(), turn.end(), [&](size_t a, size_t b) {
      return robust ? losses[a][0] < losses[b][0] : losses[a][0] > losses[b][0];
    });
  }
  std::vector<std::string> order;
  for (size_t i : turn) order.push_back(layers[i].name);
  quantization::AssignGroups(order, quantize.blocks().count(), graph);
  context->narrator().Log(
      absl::StrCat("layers are quantized in ", quantize.blocks().count(),
                   " blocks, in this order: ", absl::StrJoin(order, ", ")));
  return absl::OkStatus();
}

}  // namespace

absl::Status RunCalibration(RunContext* context, const Task& task) {
  context->narrator().Phase(v1::Job::CALIBRATING);
  const absl::Time start = absl::Now();
  const Job& job = context->job();
  RunState& state = context->state();
  const v1::DeviceProfile& profile = job.profiles()[task.profile];
  const v1::Quantize& quantize = job.recipe().stages(task.stage).quantize();
  CONDENSE_ASSIGN_OR_RETURN(quantization::PostTrainingOptions options,
                            PostTrainingOf(job.parsed(), job.recipe(),
                                           task.stage, profile, job.model()));
  options.device = job.device();
  options.progress = [&](int64_t done, int64_t total) {
    v1::Progress progress;
    progress.set_step(done);
    progress.set_total_steps(total);
    context->narrator().Progress(progress);
  };
  if (quantize.has_mixed_precision()) {
    options.choose_bits =
        [&](const graph::Graph& floats,
            data::Loader* data) -> absl::StatusOr<std::map<std::string, int>> {
      CONDENSE_ASSIGN_OR_RETURN(
          WidthAnswer answer,
          ChooseWidths({job.parsed(), quantize, task.stage, profile},
                       options.numerics, floats, data, job.device(),
                       options.seed));
      context->narrator().Log(answer.text);
      return answer.bits;
    };
  }
  auto loader = job.CalibrationLoader();
  WarnOfFewSamples(context, loader->num_samples());
  CONDENSE_ASSIGN_OR_RETURN(
      const quantization::PostTrainingReport report,
      quantization::QuantizePostTraining(&state.graph, loader.get(), options));
  for (const auto& [name, reason] : report.frozen) {
    state.frozen[absl::StrCat("quantize/", profile.id(), "/", name)] = reason;
  }
  if (quantize.mode() == v1::Quantize::PTQ) {
    KeepWeightNoise(report.weight_snr_db, profile.id(), &state);
  }
  if (quantize.has_blocks()) {
    CONDENSE_RETURN_IF_ERROR(GroupQuantizers(context, quantize, loader.get()));
  }
  for (const quantization::Note& note : report.notes) {
    context->narrator().Warn(note.reason, note.text);
  }
  context->Row(task).seconds += absl::ToDoubleSeconds(absl::Now() - start);
  return context->Interrupted();
}

}  // namespace condense::pipeline
