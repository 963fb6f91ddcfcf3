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
#include "workers/engine/pipeline/evaluator.h"
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
  // On the evaluation data, if there is any.
  std::optional<training::Measurement> figures;
  // Verification only.
  std::optional<report::Embedding> embedding;
};

// What gates call accuracy is there under this name for each task.
std::map<std::string, double> MetricsOf(const training::Measurement& measured) {
  std::map<std::string, double> metrics = measured.metrics;
  const std::optional<double> top1 = measured.Find("top1");
  if (top1.has_value()) metrics["accuracy"] = *top1;
  return metrics;
}

std::optional<double> Metric(const report::ModelFigures& figures,
                             const char* name) {
  const auto it = figures.metrics.find(name);
  if (it == figures.metrics.end()) return std::nullopt;
  return it->second;
}

void NoteColorBits(const Job& job, graph::Graph* graph) {
  graph->metadata.erase(kColorBits);
  if (const auto bits = job.color_bits()) {
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

// The file's own figures, where it saw all evaluation data.
std::optional<training::Measurement> FileFigures(const Job& job,
                                                 const data::Loader& eval,
                                                 const Finish& finish) {
  const Verification& found = finish.verification;
  if (found.agreement.samples < eval.num_samples()) return std::nullopt;
  return job.verifies() ? VerificationFiguresOf(job, found.embeddings)
                        : found.file;
}

// Measures accuracy on all samples: by the file itself where it saw them all,
// else by its simulation.
absl::Status MeasureAccuracy(RunContext* context, data::Loader* eval,
                             Finish* finish) {
  const Job& job = context->job();
  finish->figures = FileFigures(job, *eval, *finish);
  if (finish->figures.has_value()) return absl::OkStatus();
  CONDENSE_ASSIGN_OR_RETURN(
      Evaluated found, EvaluateGraph(job, finish->simulation, eval, [context] {
        return context->Interrupted();
      }));
  finish->figures = std::move(found.figures);
  finish->verification.embeddings = std::move(found.embeddings);
  context->narrator().Warn(
      "ACCURACY_OF_SIMULATION",
      absl::StrFormat("accuracy on all %d samples is that of the simulation; "
                      "the file itself was run on %d of them",
                      finish->figures->samples,
                      finish->verification.agreement.samples));
  return absl::OkStatus();
}

// Compares what accuracy was measured on with the original's embeddings.
absl::Status CompareWithOriginal(RunContext* context, const data::Loader& eval,
                                 Finish* finish) {
  CONDENSE_ASSIGN_OR_RETURN(const evaluation::EmbeddedSamples* original,
                            context->OriginalEmbeddings());
  const evaluation::EmbeddedSamples& own = finish->verification.embeddings;
  const auto likeness = evaluation::CompareEmbeddings(own, *original);
  if (!likeness.has_value()) return absl::OkStatus();
  const evaluation::PairCounts pairs = evaluation::Count(evaluation::PairsAmong(
      eval.dataset(), own.places,
      static_cast<uint64_t>(context->job().recipe().seed())));
  finish->embedding = report::Embedding{own.embeddings.size, likeness->samples,
                                        likeness->mean,      likeness->min,
                                        pairs.same,          pairs.different};
  return absl::OkStatus();
}

// Runs the file, and measures it.
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
  options.embeddings = job.verifies();
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
  CONDENSE_RETURN_IF_ERROR(MeasureAccuracy(context, eval.get(), finish));
  return job.verifies() ? CompareWithOriginal(context, *eval, finish)
                        : absl::OkStatus();
}

report::ModelFigures FiguresOf(
    const graph::Graph& graph, int64_t size_bytes,
    const v1::DeviceProfile& profile,
    const std::optional<training::Measurement>& found) {
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

absl::Status CheckGates(const Job& job, report::Report* report) {
  evaluation::Figures figures;
  figures.accuracy_before = Metric(report->baseline, "accuracy");
  figures.accuracy_after = Metric(report->compressed, "accuracy");
  figures.eer_before = Metric(report->baseline, "eer");
  figures.eer_after = Metric(report->compressed, "eer");
  figures.size_bytes = static_cast<double>(*report->compressed.size_bytes);
  figures.latency_ms = report->compressed.latency->p50_ms;
  figures.latency_estimated = true;
  CONDENSE_ASSIGN_OR_RETURN(
      const std::vector<evaluation::GateResult> gates,
      evaluation::CheckGates(BoundsOf(job.recipe().gates()), figures));
  report->verdict = evaluation::VerdictOf(gates);
  for (const evaluation::GateResult& gate : gates) {
    report->gates.push_back(
        {gate.name, gate.bound, gate.value, gate.passed, gate.estimated});
  }
  return absl::OkStatus();
}

absl::StatusOr<report::Report> MakeReport(RunContext* context,
                                          const Finish& finish) {
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
                finish.profile, finish.figures);
  if (*report.compressed.size_bytes >= job.model_bytes()) {
    context->narrator().Warn(
        "NOT_SMALLER",
        absl::StrFormat("the file for %s has %d bytes, the original %d",
                        finish.profile.id(), *report.compressed.size_bytes,
                        job.model_bytes()));
  }
  CONDENSE_RETURN_IF_ERROR(CheckGates(job, &report));
  report.agreement = finish.verification.agreement;
  report.embedding = finish.embedding;
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
  report.color_bits = job.color_bits();
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
  const auto tell = [&](const std::string& name,
                        const std::optional<double>& value) {
    if (!value.has_value()) return;
    narrator.Metric(name, *value, std::nullopt, report.profile);
  };
  const bool classes = Metric(report.compressed, "top1").has_value();
  for (const auto& [name, value] : report.compressed.metrics) {
    // The same figure under its general name.
    if (name != "accuracy" || !classes) tell("compressed." + name, value);
  }
  tell("compressed.size_bytes",
       static_cast<double>(*report.compressed.size_bytes));
  tell("agreement.top1", report.agreement->top1);
  tell("agreement.max_lsb", report.agreement->max_lsb);
  if (!report.embedding.has_value()) return;
  tell("embedding.cosine_mean", report.embedding->cosine_mean);
  tell("embedding.cosine_min", report.embedding->cosine_min);
}

}  // namespace

absl::StatusOr<v1::Artifact::Verdict> FinishProfile(
    RunContext* context, const v1::DeviceProfile& profile,
    const graph::Graph& simulation) {
  Finish finish = {profile, simulation, {}, {}, {}, {}, {}};
  CONDENSE_RETURN_IF_ERROR(Export(context, &finish));
  CONDENSE_RETURN_IF_ERROR(Measure(context, &finish));
  CONDENSE_ASSIGN_OR_RETURN(const report::Report report,
                            MakeReport(context, finish));
  Tell(context, report);
  CONDENSE_RETURN_IF_ERROR(Write(context, finish, report));
  v1::Artifact::Verdict verdict = v1::Artifact::PASSED;
  v1::Artifact::Verdict_Parse(report.verdict, &verdict);
  return verdict;
}

}  // namespace condense::pipeline
