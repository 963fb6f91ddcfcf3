#include "workers/engine/quantization/post_training.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/passes/fold_batch_norm.h"
#include "workers/engine/quantization/calibrate.h"
#include "workers/engine/quantization/equalize.h"
#include "workers/engine/quantization/reconstruct.h"
#include "workers/engine/quantization/sensitivity.h"
#include "workers/engine/quantization/smooth_quant.h"
#include "workers/engine/quantization/tune_layers.h"
#include "workers/engine/quantization/weight_noise.h"
#include "workers/engine/quantization/weight_quantizer.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::ValueId;

// Samples whose channel ranges decide on factors.
constexpr int64_t kEqualizeSamples = 64;
constexpr int64_t kSensitivitySamples = 16;
// What weights in float count as.
constexpr int kFloatBits = 24;

// The values of `graph` that placement quantizes; ids are those of `graph`.
std::set<ValueId> QuantizedValues(const Graph& placed) {
  std::set<ValueId> values;
  for (graph::NodeId id : placed.order()) {
    const graph::Node& node = placed.node(id);
    if (node.IsFakeQuantize() && node.String("role", "") == "activation") {
      values.insert(node.inputs[0]);
    }
  }
  return values;
}

bool Reconstructs(Rounding rounding) {
  return rounding == Rounding::kAdaRound || rounding == Rounding::kBrecq ||
         rounding == Rounding::kQDrop;
}

absl::Status Smooth(Graph* graph, data::Loader* loader,
                    const PostTrainingOptions& options) {
  std::vector<SmoothSite> sites = FindSmoothSites(*graph);
  if (options.smooth <= 0 || sites.empty()) return absl::OkStatus();
  std::vector<ValueId> inputs;
  for (const SmoothSite& site : sites) inputs.push_back(site.input);
  CONDENSE_ASSIGN_OR_RETURN(
      const auto seen, ObserveChannels(*graph, inputs, loader, kEqualizeSamples,
                                       options.device, ChannelSide::kLast));
  const auto none = std::remove_if(
      sites.begin(), sites.end(), [&seen = seen](const SmoothSite& site) {
        const auto found = seen.find(site.input);
        return found == seen.end() || !HasOutliers(found->second);
      });
  sites.erase(none, sites.end());
  SmoothActivations(sites, seen, options.smooth, graph);
  return absl::OkStatus();
}

absl::Status Equalize(Graph* graph, data::Loader* loader,
                      const PostTrainingOptions& options) {
  if (!options.equalize) return absl::OkStatus();
  CONDENSE_ASSIGN_OR_RETURN(const Placement placement,
                            PlaceQuantizers(*graph, options.numerics));
  const std::set<ValueId> quantized = QuantizedValues(placement.graph);
  CONDENSE_ASSIGN_OR_RETURN(
      const auto seen,
      ObserveChannels(*graph, ValuesToEqualize(*graph, quantized), loader,
                      kEqualizeSamples, options.device));
  EqualizeOptions equalize;
  equalize.per_channel = options.numerics.per_channel;
  equalize.weight_bits = options.numerics.weight_scheme == "float"
                             ? kFloatBits
                             : options.numerics.weight_bits;
  equalize.activation_bits = options.numerics.activation_bits;
  EqualizeLayers(graph, quantized, seen, equalize);
  return absl::OkStatus();
}

// The input's quantizer gets the grid of pixels.
void SetPixelGrid(const PixelGrid& pixels, Graph* graph) {
  if (pixels.value == graph::kNoValue) return;
  for (graph::NodeId id : graph->Consumers(pixels.value)) {
    const graph::Node& node = graph->node(id);
    if (!node.IsFakeQuantize()) continue;
    graph->SetConstant(node.inputs[1],
                       graph::Tensor::Scalar<float>(pixels.grid.scale));
    graph->SetConstant(node.inputs[2],
                       graph::Tensor::Scalar<int32_t>(pixels.grid.zero_point));
  }
}

// Weights wait for the layers' inputs.
bool IsBinaryCoded(const Numerics& numerics) {
  return numerics.weight_scheme == "mrbiq";
}

// Places quantizers and calibrates them.
absl::Status Place(const Numerics& numerics, const PixelGrid& pixels,
                   data::Loader* loader, const PostTrainingOptions& options,
                   Graph* graph, PostTrainingReport* report) {
  CONDENSE_ASSIGN_OR_RETURN(Placement placement,
                            PlaceQuantizers(*graph, numerics));
  *graph = std::move(placement.graph);
  report->frozen = std::move(placement.frozen);
  if (options.project_weights && !IsBinaryCoded(numerics)) {
    ProjectWeights(graph);
  }
  CalibrateOptions calibrate;
  calibrate.observer = options.observer;
  calibrate.symmetric = numerics.activation_symmetric;
  calibrate.device = options.device;
  CONDENSE_RETURN_IF_ERROR(
      Calibrate(graph, loader, calibrate, options.progress, &report->notes));
  SetPixelGrid(pixels, graph);
  if (numerics.activation_power_of_two) RoundScalesToPowersOfTwo(graph);
  return absl::OkStatus();
}

// Layers that quantization hurts more than the recipe allows.
absl::StatusOr<std::map<std::string, double>> Sensitive(
    const Graph& graph, data::Loader* loader,
    const PostTrainingOptions& options) {
  CONDENSE_ASSIGN_OR_RETURN(const torch::Tensor images,
                            TakeSamples(loader, kSensitivitySamples));
  CONDENSE_ASSIGN_OR_RETURN(auto snr,
                            LayerSnrDb(graph, images, options.device));
  std::map<std::string, double> found;
  for (const auto& [name, db] : snr) {
    if (db < *options.min_snr_db) found[name] = db;
  }
  return found;
}

absl::Status Round(const Graph& floats, data::Loader* loader,
                   const PostTrainingOptions& options, Graph* graph) {
  if (Reconstructs(options.rounding)) {
    ReconstructOptions reconstruct;
    reconstruct.blocks = options.rounding != Rounding::kAdaRound;
    reconstruct.drop = options.rounding == Rounding::kQDrop ? 0.5 : 0;
    reconstruct.iterations = options.iterations;
    reconstruct.seed = options.seed;
    reconstruct.device = options.device;
    reconstruct.progress = options.progress;
    CONDENSE_RETURN_IF_ERROR(Reconstruct(graph, loader, reconstruct));
  }
  TuneOptions tune;
  tune.gptq = options.rounding == Rounding::kGptq;
  tune.bias_correction = options.bias_correction;
  tune.seed = options.seed;
  tune.device = options.device;
  if (!tune.gptq && !tune.bias_correction && !IsBinaryCoded(options.numerics)) {
    return absl::OkStatus();
  }
  CONDENSE_RETURN_IF_ERROR(TuneLayers(graph, floats, loader, tune));
  // Layers that no sample reached.
  if (options.project_weights) ProjectWeights(graph);
  return absl::OkStatus();
}

// AlignInput, where the samples are pixels.
absl::StatusOr<PixelGrid> AlignSamples(data::Loader* loader,
                                       const PostTrainingOptions& options,
                                       Graph* graph, std::vector<Note>* notes) {
  Graph aligned = *graph;
  CONDENSE_ASSIGN_OR_RETURN(const PixelGrid pixels,
                            AlignInput(options, &aligned));
  if (pixels.value == graph::kNoValue) return pixels;
  CONDENSE_ASSIGN_OR_RETURN(const PixelRange range,
                            RangeInPixels(*options.pixels, loader));
  if (!range.OnGrid()) {
    notes->push_back(
        {"PIXEL_GRID_MISFIT",
         absl::StrFormat("calibration samples reach from %.1f to %.1f as "
                         "pixels, which are 0 to 255: the input's range is "
                         "observed instead",
                         range.low, range.high)});
    return PixelGrid();
  }
  *graph = std::move(aligned);
  return pixels;
}

}  // namespace

absl::StatusOr<PixelGrid> AlignInput(const PostTrainingOptions& options,
                                     Graph* graph) {
  const Numerics& numerics = options.numerics;
  if (!options.pixels || !numerics.activation_unsigned ||
      numerics.activation_bits != 8 || numerics.activation_symmetric ||
      numerics.float_activations) {
    return PixelGrid();
  }
  return AlignInputToPixels(*options.pixels, graph);
}

absl::StatusOr<PostTrainingReport> QuantizePostTraining(
    Graph* graph, data::Loader* loader, const PostTrainingOptions& options) {
  PostTrainingReport report;
  if (options.fold_batch_norm) {
    CONDENSE_RETURN_IF_ERROR(graph::FoldBatchNorm().Run(*graph).status());
  }
  CONDENSE_RETURN_IF_ERROR(graph::InferShapes(*graph));
  CONDENSE_ASSIGN_OR_RETURN(
      const PixelGrid pixels,
      AlignSamples(loader, options, graph, &report.notes));
  const std::vector<Note> notes = report.notes;
  CONDENSE_RETURN_IF_ERROR(Smooth(graph, loader, options));
  CONDENSE_RETURN_IF_ERROR(Equalize(graph, loader, options));
  const Graph floats = *graph;
  Numerics numerics = options.numerics;
  if (options.choose_bits) {
    CONDENSE_ASSIGN_OR_RETURN(const auto chosen,
                              options.choose_bits(floats, loader));
    for (const auto& [name, bits] : chosen) numerics.bits[name] = bits;
  }
  CONDENSE_RETURN_IF_ERROR(
      Place(numerics, pixels, loader, options, graph, &report));
  if (options.min_snr_db) {
    CONDENSE_ASSIGN_OR_RETURN(const auto found,
                              Sensitive(*graph, loader, options));
    if (!found.empty()) {
      for (const auto& [name, snr] : found) numerics.skip.insert(name);
      *graph = floats;
      report.notes = notes;
      CONDENSE_RETURN_IF_ERROR(
          Place(numerics, pixels, loader, options, graph, &report));
      for (const auto& [name, snr] : found) {
        report.frozen[name] = absl::StrFormat(
            "quantized alone it leaves %.1f dB at the output", snr);
      }
    }
  }
  CONDENSE_RETURN_IF_ERROR(Round(floats, loader, options, graph));
  SnapBiases(graph);
  report.weight_snr_db = WeightNoiseDb(floats, *graph);
  return report;
}

}  // namespace condense::quantization
