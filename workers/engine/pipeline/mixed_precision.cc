#include "workers/engine/pipeline/mixed_precision.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/graph/cost.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/passes/fold_batch_norm.h"
#include "workers/engine/pipeline/roofline.h"
#include "workers/engine/quantization/calibrate.h"
#include "workers/engine/quantization/lower_qdq.h"

namespace condense::pipeline {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using quantization::BitChoice;
using quantization::WeightLayer;

// Samples that sensitivities are measured on.
constexpr int64_t kSamples = 64;
// Bits of what stays in float.
constexpr double kFloatBits = 32;

// Costs of one width in all layers.
struct Costs {
  // By node name.
  std::map<std::string, double> layers;
  double fixed = 0;
};

std::string PathOf(const MixedPrecisionStage& stage) {
  return absl::StrCat("stages[", stage.stage, "].quantize.mixed_precision");
}

const char* TargetKey(const v1::MixedPrecisionTarget& target) {
  return target.has_size_bytes()  ? "size_bytes"
         : target.has_mean_bits() ? "mean_bits"
         : target.has_bops()      ? "bops"
                                  : "latency_ms";
}

double TargetValue(const v1::MixedPrecisionTarget& target) {
  return target.has_size_bytes()  ? static_cast<double>(target.size_bytes())
         : target.has_mean_bits() ? target.mean_bits()
         : target.has_bops()      ? target.bops()
                                  : target.latency_ms();
}

// The widths to choose from on this profile, narrow ones first.
absl::StatusOr<std::set<int>> WidthsOf(const MixedPrecisionStage& stage) {
  const auto& runs = stage.profile.weights().bits();
  const std::set<int> known(runs.begin(), runs.end());
  const auto& asked = stage.quantize.mixed_precision().bits();
  const bool log2 = stage.quantize.weights().scheme() == v1::LOG2;
  std::set<int> widths(asked.begin(), asked.end());
  if (asked.empty()) {
    const int widest = *std::max_element(runs.begin(), runs.end());
    widths = log2 ? std::set<int>{2, 3, 4} : std::set<int>{2, 4, widest};
  }
  for (int i = 0; i < asked.size(); ++i) {
    if (known.count(asked[i]) > 0) continue;
    return recipe::ErrorAt(
        stage.parsed, absl::StrCat(PathOf(stage), ".bits[", i, "]"),
        absl::StatusCode::kInvalidArgument, "PROFILE_CANNOT",
        absl::StrCat("profile ", stage.profile.id(),
                     " does not run weights of ", asked[i], " bits (it takes ",
                     absl::StrJoin(runs, ", "), ")"));
  }
  return widths;
}

// Bytes that the file holds for the layer's weight.
double StoredBytes(const Graph& lowered, const std::string& name) {
  const NodeId id = lowered.FindNode(name);
  NodeId from = lowered.value(lowered.node(id).inputs[1]).producer;
  // Blocks of a convolution get its shape only behind it.
  while (!lowered.node(from).Is("DequantizeLinear")) {
    from = lowered.value(lowered.node(from).inputs[0]).producer;
  }
  const Node& dequantize = lowered.node(from);
  return static_cast<double>(
      lowered.ConstantOf(dequantize.inputs[0])->bytes().size());
}

absl::StatusOr<Costs> SizeCosts(const Graph& lowered, int opset,
                                const std::vector<WeightLayer>& layers) {
  onnx_export::ExportOptions options;
  options.opset = opset;
  CONDENSE_ASSIGN_OR_RETURN(const std::string file,
                            onnx_export::ExportOnnx(lowered, options));
  Costs costs;
  costs.fixed = static_cast<double>(file.size());
  for (const WeightLayer& layer : layers) {
    costs.fixed -= costs.layers[layer.name] = StoredBytes(lowered, layer.name);
  }
  return costs;
}

Costs LatencyCosts(const Graph& lowered, const v1::Roofline& roofline,
                   const std::vector<WeightLayer>& layers) {
  const std::vector<double> seconds = EstimateSecondsPerNode(lowered, roofline);
  Costs costs;
  for (double s : seconds) costs.fixed += 1e3 * s;
  for (const WeightLayer& layer : layers) {
    const double ms = 1e3 * seconds[lowered.FindNode(layer.name)];
    costs.layers[layer.name] = ms;
    costs.fixed -= ms;
  }
  return costs;
}

Costs BitOperations(const Graph& placed, const quantization::Numerics& numerics,
                    int width, const std::vector<WeightLayer>& layers) {
  const bool in_float =
      numerics.float_activations || numerics.float_bits.count(width) > 0;
  const double activation = in_float ? kFloatBits : numerics.activation_bits;
  const std::vector<graph::Cost> per_node = graph::CostPerNode(placed);
  Costs costs;
  for (const graph::Cost& cost : per_node) {
    costs.fixed += static_cast<double>(cost.macs) * kFloatBits * kFloatBits;
  }
  for (const WeightLayer& layer : layers) {
    const double macs = static_cast<double>(per_node[layer.node].macs);
    costs.layers[layer.name] = macs * width * activation;
    costs.fixed -= macs * kFloatBits * kFloatBits;
  }
  return costs;
}

Costs MeanBits(int width, const std::vector<WeightLayer>& layers) {
  double elements = 0;
  for (const WeightLayer& layer : layers) {
    elements += static_cast<double>(layer.elements);
  }
  Costs costs;
  for (const WeightLayer& layer : layers) {
    costs.layers[layer.name] =
        width * static_cast<double>(layer.elements) / elements;
  }
  return costs;
}

// What every layer costs at this width, and all else.
absl::StatusOr<Costs> CostsOf(const MixedPrecisionStage& stage,
                              const quantization::Numerics& numerics, int width,
                              const Graph& placed,
                              const std::vector<WeightLayer>& layers) {
  const v1::MixedPrecisionTarget& target =
      stage.quantize.mixed_precision().target();
  if (target.has_mean_bits()) return MeanBits(width, layers);
  if (target.has_bops()) return BitOperations(placed, numerics, width, layers);
  CONDENSE_ASSIGN_OR_RETURN(const quantization::LoweredGraph lowered,
                            quantization::LowerToQdq(placed));
  if (target.has_latency_ms()) {
    return LatencyCosts(lowered.graph, stage.profile.roofline(), layers);
  }
  return SizeCosts(lowered.graph, stage.profile.opset(), layers);
}

absl::Status CheckReachable(const MixedPrecisionStage& stage,
                            const WidthQuestion& question) {
  double least = question.fixed;
  for (const auto& choices : question.choices) {
    double cheapest = choices[0].cost;
    for (const BitChoice& choice : choices) {
      cheapest = std::min(cheapest, choice.cost);
    }
    least += cheapest;
  }
  if (least <= question.target * (1 + 1e-12)) return absl::OkStatus();
  const auto& target = stage.quantize.mixed_precision().target();
  const bool bytes = target.has_size_bytes() || target.has_latency_ms();
  return recipe::ErrorAt(
      stage.parsed, absl::StrCat(PathOf(stage), ".target.", TargetKey(target)),
      absl::StatusCode::kInvalidArgument, "TARGET_UNREACHABLE",
      absl::StrFormat("%.10g cannot be reached on profile %s: with the fewest "
                      "bits in every layer it is %.10g",
                      question.target, stage.profile.id(), least),
      {.hint = bytes && !stage.profile.weights().packed()
                   ? "the profile stores every width in 8 bits; mean_bits and "
                     "bops count the bits themselves"
                   : "allow fewer bits, or prune first"});
}

std::string Describe(const WidthQuestion& question,
                     const std::vector<size_t>& chosen,
                     const v1::MixedPrecisionTarget& target) {
  std::vector<std::string> parts;
  double cost = question.fixed, bits = 0, elements = 0;
  for (size_t i = 0; i < chosen.size(); ++i) {
    const BitChoice& choice = question.choices[i][chosen[i]];
    cost += choice.cost;
    const double count = static_cast<double>(question.layers[i].elements);
    bits += count * choice.bits;
    elements += count;
    parts.push_back(absl::StrCat(question.layers[i].name, " ", choice.bits));
  }
  return absl::StrFormat(
      "mixed precision: mean of %.3f bits, %s %.10g of %.10g; %s",
      bits / std::max(1.0, elements), TargetKey(target), cost, question.target,
      absl::StrJoin(parts, ", "));
}

}  // namespace

absl::StatusOr<WidthQuestion> AskForWidths(
    const MixedPrecisionStage& stage, const quantization::Numerics& numerics,
    const Graph& floats) {
  CONDENSE_ASSIGN_OR_RETURN(const std::set<int> widths, WidthsOf(stage));
  Graph folded = floats;
  CONDENSE_RETURN_IF_ERROR(graph::FoldBatchNorm().Run(folded).status());
  CONDENSE_RETURN_IF_ERROR(graph::InferShapes(folded));
  WidthQuestion question;
  question.target = TargetValue(stage.quantize.mixed_precision().target());
  std::set<int> wanted = widths;
  for (const auto& [name, bits] : numerics.bits) wanted.insert(bits);
  for (int width : wanted) {
    quantization::Numerics same = numerics;
    same.weight_bits = width;
    same.bits.clear();
    CONDENSE_ASSIGN_OR_RETURN(const quantization::Placement placement,
                              quantization::PlaceQuantizers(folded, same));
    question.layers = quantization::WeightLayers(placement.graph);
    question.choices.resize(question.layers.size());
    CONDENSE_ASSIGN_OR_RETURN(
        const Costs costs,
        CostsOf(stage, numerics, width, placement.graph, question.layers));
    question.fixed = std::max(question.fixed, costs.fixed);
    for (size_t i = 0; i < question.layers.size(); ++i) {
      const std::string& name = question.layers[i].name;
      const auto given = numerics.bits.find(name);
      if (given == numerics.bits.end() ? widths.count(width) > 0
                                       : given->second == width) {
        question.choices[i].push_back({width, 0, costs.layers.at(name)});
      }
    }
  }
  CONDENSE_RETURN_IF_ERROR(CheckReachable(stage, question));
  return question;
}

absl::StatusOr<std::vector<std::vector<double>>> MeasureLosses(
    v1::Recipe::Task task, const Graph& floats,
    const std::vector<WeightLayer>& layers,
    const std::vector<std::vector<quantization::WeightGrid>>& grids,
    const v1::Quantize& quantize, data::Loader* calibration,
    const std::string& device, uint64_t seed) {
  CONDENSE_ASSIGN_OR_RETURN(const torch::Tensor images,
                            quantization::TakeSamples(calibration, kSamples));
  quantization::BitSensitivityOptions options;
  if (quantize.mixed_precision().sensitivity() == v1::MixedPrecision::HESSIAN) {
    options.kind = quantization::BitSensitivityOptions::Kind::kHessian;
  }
  options.classes = task != v1::Recipe::VERIFICATION;
  options.seed = seed;
  options.device = device;
  return quantization::MeasureBitSensitivity(floats, layers, grids, images,
                                             options);
}

absl::StatusOr<WidthAnswer> ChooseWidths(const MixedPrecisionStage& stage,
                                         const quantization::Numerics& numerics,
                                         const Graph& floats,
                                         data::Loader* calibration,
                                         const std::string& device,
                                         uint64_t seed) {
  CONDENSE_ASSIGN_OR_RETURN(WidthQuestion question,
                            AskForWidths(stage, numerics, floats));
  // Layers in the ids of `floats`, whose normalisation may not be folded.
  CONDENSE_ASSIGN_OR_RETURN(const quantization::Placement placement,
                            quantization::PlaceQuantizers(floats, numerics));
  const std::vector<WeightLayer> layers =
      quantization::WeightLayers(placement.graph);
  std::vector<std::vector<quantization::WeightGrid>> grids(layers.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    for (const BitChoice& choice : question.choices[i]) {
      grids[i].push_back(layers[i].grid);
      grids[i].back().levels =
          quantization::SchemeLevels(layers[i].grid.scheme, choice.bits);
    }
  }
  CONDENSE_ASSIGN_OR_RETURN(
      const auto losses,
      MeasureLosses(stage.parsed.recipe.task(), floats, layers, grids,
                    stage.quantize, calibration, device, seed));
  for (size_t i = 0; i < losses.size(); ++i) {
    for (size_t c = 0; c < losses[i].size(); ++c) {
      question.choices[i][c].loss = losses[i][c];
    }
  }
  const auto chosen = quantization::AllocateBits(
      question.choices, question.target - question.fixed);
  WidthAnswer answer;
  for (size_t i = 0; i < chosen->size(); ++i) {
    answer.bits[question.layers[i].name] =
        question.choices[i][(*chosen)[i]].bits;
  }
  answer.text =
      Describe(question, *chosen, stage.quantize.mixed_precision().target());
  return answer;
}

}  // namespace condense::pipeline
