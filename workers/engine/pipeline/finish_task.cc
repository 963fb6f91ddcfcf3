#include "workers/engine/pipeline/finish_task.h"

#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "workers/engine/evaluation/gates.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/graph/cost.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/pipeline/layer_table.h"
#include "workers/engine/pipeline/provenance.h"
#include "workers/engine/pipeline/roofline.h"
#include "workers/engine/pipeline/settings.h"
#include "workers/engine/pipeline/toolchain.h"
#include "workers/engine/pipeline/verification.h"
#include "workers/engine/quantization/lower_qdq.h"
#include "workers/engine/quantization/quantizers_in_graph.h"
#include "workers/engine/runtime/executor.h"

namespace condense::pipeline {
namespace {

constexpr char kModelFile[] = "model.onnx";
// In the file's metadata: what its input was made for, where that is not all
// the 256 values of a channel.
constexpr char kColorBits[] = "condense.input.color_bits";

// What finishing one profile has at hand.
struct Finish {
  const v1::DeviceProfile& profile;
  const graph::Graph& simulation;
  quantization::LoweredGraph lowered;
  std::string bytes;
  Verification verification;
  std::optional<training::Accuracy> accuracy;
};

std::map<std::string, double> MetricsOf(const training::Accuracy& accuracy) {
  return {{"top1", accuracy.top1},
          {"top5", accuracy.top5},
          {"accuracy", accuracy.top1},
          {"loss", accuracy.loss}};
}

std::optional<int> ColorBitsOf(const Job& job) {
  const int bits = job.recipe().data().preprocess().color_bits();
  return bits < 8 ? std::optional<int>(bits) : std::nullopt;
}

void NoteColorBits(const Job& job, graph::Graph* graph) {
  graph->metadata.erase(kColorBits);
  if (const auto bits = ColorBitsOf(job)) {
    graph->metadata[kColorBits] = absl::StrCat(*bits);
  }
}

absl::Status Export(RunContext* context, Finish* finish) {
  context->narrator().Phase(v1::Job::EXPORTING);
  if (quantization::HasQuantizers(finish->simulation)) {
    CONDENSE_ASSIGN_OR_RETURN(finish->lowered,
                              quantization::LowerToQdq(finish->simulation));
  } else {
    finish->lowered.graph = finish->simulation;
    CONDENSE_RETURN_IF_ERROR(graph::InferShapes(finish->lowered.graph));
    for (graph::ValueId id : finish->simulation.values()) {
      const graph::Tensor* tensor = finish->simulation.ConstantOf(id);
      if (tensor == nullptr) continue;
      finish->lowered.tensors.push_back(
          {finish->simulation.value(id).name,
           tensor->dims(),
           std::string(graph::DTypeName(tensor->dtype())),
           {},
           {},
           -1});
    }
  }
  NoteColorBits(context->job(), &finish->lowered.graph);
  onnx_export::ExportOptions options;
  options.opset = finish->profile.opset();
  CONDENSE_ASSIGN_OR_RETURN(
      finish->bytes, onnx_export::ExportOnnx(finish->lowered.graph, options));
  return absl::OkStatus();
}

// Runs the file, and measures accuracy on all samples: by the file itself where
// it saw them all, else by its simulation.
absl::Status Measure(RunContext* context, Finish* finish) {
  context->narrator().Phase(v1::Job::VERIFYING);
  const Job& job = context->job();
  VerifyOptions options;
  options.device = job.device();
  options.threads = job.file().threads() > 0
                        ? job.file().threads()
                        : static_cast<int>(std::thread::hardware_concurrency());
  options.samples =
      AffordableSamples(graph::CostOf(finish->lowered.graph).macs);
  options.interrupted = [context] { return context->Interrupted(); };
  auto eval = job.EvalLoader();
  auto other = eval == nullptr ? job.CalibrationLoader() : nullptr;
  data::Loader* loader = eval != nullptr ? eval.get() : other.get();
  CONDENSE_ASSIGN_OR_RETURN(
      finish->verification,
      Verify(finish->simulation, finish->bytes, loader, options));
  if (loader == nullptr) {
    context->narrator().Warn("VERIFIED_ON_RANDOM_INPUTS",
                             "the job has no data: agreement was measured on "
                             "random inputs");
  }
  if (eval == nullptr) return absl::OkStatus();
  if (finish->verification.agreement.samples >= eval->num_samples()) {
    finish->accuracy = finish->verification.file;
    return absl::OkStatus();
  }
  CONDENSE_ASSIGN_OR_RETURN(
      auto executor,
      runtime::Executor::Create(finish->simulation, {.device = job.device()}));
  CONDENSE_ASSIGN_OR_RETURN(
      finish->accuracy, training::Evaluate(executor.get(), eval.get(),
                                           [context](const auto&, const auto&) {
                                             return context->Interrupted();
                                           }));
  context->narrator().Warn(
      "ACCURACY_OF_SIMULATION",
      absl::StrFormat("accuracy on all %d samples is that of the simulation; "
                      "the file itself was run on %d of them",
                      finish->accuracy->samples,
                      finish->verification.agreement.samples));
  return absl::OkStatus();
}

report::ModelFigures FiguresOf(const graph::Graph& graph, int64_t size_bytes,
                               const v1::DeviceProfile& profile,
                               const std::optional<training::Accuracy>& found) {
  report::ModelFigures figures;
  if (found.has_value()) figures.metrics = MetricsOf(*found);
  const graph::Cost cost = graph::CostOf(graph);
  figures.size_bytes = size_bytes;
  figures.parameters = cost.parameters;
  figures.macs = cost.macs;
  report::Latency latency;
  latency.p50_ms = EstimateLatencyMs(graph, profile.roofline());
  latency.p95_ms = latency.p50_ms;
  latency.runtime = "roofline of " + profile.id();
  latency.estimated = true;
  figures.latency = latency;
  return figures;
}

void CheckGates(const Job& job, report::Report* report) {
  evaluation::Figures figures;
  figures.accuracy_before = report->baseline.metrics["top1"];
  figures.accuracy_after = report->compressed.metrics["top1"];
  figures.size_bytes = static_cast<double>(*report->compressed.size_bytes);
  figures.latency_ms = report->compressed.latency->p50_ms;
  figures.latency_estimated = true;
  const std::vector<evaluation::GateResult> gates =
      evaluation::CheckGates(BoundsOf(job.recipe().gates()), figures);
  report->verdict = evaluation::VerdictOf(gates);
  for (const evaluation::GateResult& gate : gates) {
    report->gates.push_back(
        {gate.name, gate.bound, gate.value, gate.passed, gate.estimated});
  }
}

report::Report MakeReport(RunContext* context, const Finish& finish) {
  const Job& job = context->job();
  const RunState& state = context->state();
  report::Report report;
  report.job = job.file().name();
  report.profile = finish.profile.id();
  report.profile_title = finish.profile.title();
  report.baseline =
      FiguresOf(job.model(), job.model_bytes(), finish.profile, state.baseline);
  report.compressed =
      FiguresOf(finish.lowered.graph, static_cast<int64_t>(finish.bytes.size()),
                finish.profile, finish.accuracy);
  if (*report.compressed.size_bytes >= job.model_bytes()) {
    context->narrator().Warn(
        "NOT_SMALLER",
        absl::StrFormat("the file for %s has %d bytes, the original %d",
                        finish.profile.id(), *report.compressed.size_bytes,
                        job.model_bytes()));
  }
  CheckGates(job, &report);
  if (!finish.accuracy.has_value()) {
    report.baseline.metrics.clear();
    report.compressed.metrics.clear();
  }
  report.agreement = finish.verification.agreement;
  report.layers = LayerTable(job.model(), finish.simulation, state.frozen,
                             state.weight_snr_db, finish.profile.id());
  for (const StageRow& row : state.rows) {
    if (row.profile.empty() || row.profile == finish.profile.id()) {
      report.stages.push_back(row.stage);
      report.cut = report.cut || row.stage.cut;
    }
  }
  context->WarnOfCorruptImages();
  report.warnings = context->narrator().warnings();
  for (const auto& [name, points] : context->narrator().curves()) {
    for (const auto& [step, value] : points) {
      report.curves[name].push_back({step, value});
    }
  }
  report.color_bits = ColorBitsOf(job);
  report.seed = job.recipe().seed();
  report.toolchain = Toolchain();
  if (context->all_planned_steps() > 0) {
    const ComputeChoice& compute = context->state().compute;
    report.toolchain["precision"] = runtime::PrecisionName(compute.precision);
    report.toolchain["memory_format"] = MemoryFormatName(compute);
  }
  report.device = job.device();
  return report;
}

// Writes the folder and announces it.
absl::Status Write(RunContext* context, const Finish& finish,
                   const report::Report& report) {
  const Job& job = context->job();
  const std::string folder = job.dir() + "/artifacts/" + finish.profile.id();
  CONDENSE_RETURN_IF_ERROR(MakeWritableFolder(folder));
  const std::vector<std::pair<std::string, std::string>> files = {
      {kModelFile, finish.bytes},
      {"report.json", report::ToJson(report)},
      {"report.html", report::ToHtml(report)},
      {"recipe.resolved.yaml", recipe::RecipeToYaml(job.recipe())},
      {"tensors.json", TensorsJson(finish.lowered.tensors)},
      {"provenance.json",
       ProvenanceJson(job, finish.profile, DigestOf(finish.bytes))}};
  v1::EngineEvent event;
  v1::ArtifactWritten& written = *event.mutable_artifact();
  written.set_path(folder);
  written.mutable_artifact()->set_profile(finish.profile.id());
  v1::Artifact::Verdict verdict = v1::Artifact::PASSED;
  v1::Artifact::Verdict_Parse(report.verdict, &verdict);
  written.mutable_artifact()->set_verdict(verdict);
  for (const auto& [name, content] : files) {
    CONDENSE_RETURN_IF_ERROR(
        WriteFileAtomically(absl::StrCat(folder, "/", name), content));
    v1::Artifact::File& file = *written.mutable_artifact()->add_files();
    file.set_name(name);
    file.set_size_bytes(static_cast<int64_t>(content.size()));
  }
  context->narrator().Send(event);
  return absl::OkStatus();
}

void Tell(RunContext* context, const report::Report& report) {
  Narrator& narrator = context->narrator();
  for (const auto& [name, value] : report.compressed.metrics) {
    if (name != "accuracy") {
      narrator.Metric("compressed." + name, value, std::nullopt,
                      report.profile);
    }
  }
  narrator.Metric("compressed.size_bytes",
                  static_cast<double>(*report.compressed.size_bytes),
                  std::nullopt, report.profile);
  narrator.Metric("agreement.top1", *report.agreement->top1, std::nullopt,
                  report.profile);
  if (report.agreement->max_lsb.has_value()) {
    narrator.Metric("agreement.max_lsb", *report.agreement->max_lsb,
                    std::nullopt, report.profile);
  }
}

}  // namespace

absl::StatusOr<v1::Artifact::Verdict> FinishProfile(
    RunContext* context, const v1::DeviceProfile& profile,
    const graph::Graph& simulation,
    const std::optional<training::Accuracy>& known) {
  Finish finish = {profile, simulation, {}, {}, {}, known};
  CONDENSE_RETURN_IF_ERROR(Export(context, &finish));
  CONDENSE_RETURN_IF_ERROR(Measure(context, &finish));
  const report::Report report = MakeReport(context, finish);
  Tell(context, report);
  CONDENSE_RETURN_IF_ERROR(Write(context, finish, report));
  v1::Artifact::Verdict verdict = v1::Artifact::PASSED;
  v1::Artifact::Verdict_Parse(report.verdict, &verdict);
  return verdict;
}

}  // namespace condense::pipeline
