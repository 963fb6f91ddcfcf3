#include "workers/engine/pipeline/analysis.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "common/recipe/recipe.h"
#include "common/status_macros.h"
#include "workers/engine/graph/bodies.h"
#include "workers/engine/graph/passes/fold_batch_norm.h"
#include "workers/engine/pipeline/predicted_size.h"
#include "workers/engine/pipeline/quantize_settings.h"
#include "workers/engine/pipeline/roofline.h"
#include "workers/engine/pipeline/settings.h"
#include "workers/engine/pruning/coupling.h"
#include "workers/engine/quantization/placement.h"

namespace condense::pipeline {
namespace {

using graph::Graph;
using graph::kNoNode;
using graph::kNoValue;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

const Node* QuantizerOf(const Graph& graph, ValueId id) {
  if (id == kNoValue || graph.value(id).producer == kNoNode) return nullptr;
  const Node& node = graph.node(graph.value(id).producer);
  return node.IsFakeQuantize() ? &node : nullptr;
}

bool IsQuantized(const Graph& graph) {
  return std::any_of(
      graph.order().begin(), graph.order().end(),
      [&](NodeId id) { return graph.node(id).IsFakeQuantize(); });
}

// The plainest quantization that the profile takes.
absl::StatusOr<quantization::Numerics> DefaultNumerics(
    const Graph& graph, const v1::DeviceProfile& profile) {
  CONDENSE_ASSIGN_OR_RETURN(
      recipe::ParsedRecipe parsed,
      recipe::ParseRecipe("stages: [quantize: {mode: ptq}]"));
  recipe::ResolveRecipe(&parsed.recipe);
  return NumericsOf(parsed, parsed.recipe.stages(0).quantize(), 0, profile,
                    graph);
}

class Analyzer {
 public:
  Analyzer(const Graph& graph, const v1::DeviceProfile& profile)
      : graph_(graph),
        profile_(profile),
        costs_(graph::CostPerNode(graph)),
        seconds_(EstimateSecondsPerNode(graph, profile.roofline())) {}

  absl::StatusOr<Analysis> Run(int64_t size_bytes) {
    out_.name = graph_.name;
    out_.size_bytes = size_bytes;
    out_.profile = profile_.id();
    AddNodes();
    AddInnerLayers();
    Prune();
    out_.quantized = IsQuantized(graph_);
    if (out_.quantized) {
      for (LayerAnalysis& layer : out_.layers) MarkQuantized(graph_, &layer);
    } else {
      CONDENSE_RETURN_IF_ERROR(Quantize());
    }
    return std::move(out_);
  }

 private:
  void AddNodes() {
    std::map<std::string, OperatorAnalysis> operators;
    int order = 0;
    for (NodeId id : graph_.order()) {
      const Node& node = graph_.node(id);
      const graph::Cost& cost = costs_[id];
      out_.cost += cost;
      out_.seconds += seconds_[id];
      out_.largest_activation_bytes =
          std::max(out_.largest_activation_bytes, cost.activation_bytes);
      OperatorAnalysis& all = operators[node.op];
      all.op = node.op;
      ++all.count;
      all.cost += cost;
      all.seconds += seconds_[id];
      ++order;
      if (node.IsFakeQuantize() || (cost.macs == 0 && cost.parameters == 0)) {
        continue;
      }
      LayerAnalysis layer;
      layer.name = node.name;
      layer.op = node.op;
      layer.shape = graph::ShapeText(graph_.value(node.outputs[0]).shape);
      layer.cost = cost;
      if (const Node* quantizer = QuantizerOf(graph_, node.input(1))) {
        // The weight stands behind its quantizer.
        layer.cost += costs_[quantizer->id];
        layer.cost.activation_bytes = cost.activation_bytes;
      }
      layer.seconds = seconds_[id];
      layer.order = order;
      out_.layers.push_back(std::move(layer));
    }
    for (auto& [op, all] : operators) out_.operators.push_back(std::move(all));
  }

  void AddInnerLayers() {
    for (const graph::InnerLayer& inner : graph::InnerLayers(graph_)) {
      LayerAnalysis layer;
      layer.name = inner.name;
      layer.op = inner.op;
      layer.order = static_cast<int>(graph_.order().size());
      // The node around it has its cost.
      layer.prune_frozen = inner.reason;
      layer.quantize_frozen = inner.reason;
      out_.layers.push_back(std::move(layer));
    }
  }

  void Prune() {
    const pruning::Coupling coupling = pruning::FindCoupling(graph_);
    out_.prunable_channels = static_cast<int64_t>(coupling.channels.size());
    out_.prunable_groups = static_cast<int64_t>(coupling.clusters.size());
    for (LayerAnalysis& layer : out_.layers) {
      const auto frozen = coupling.frozen.find(layer.name);
      if (frozen != coupling.frozen.end()) layer.prune_frozen = frozen->second;
      const auto cluster = coupling.cluster_of_layer.find(layer.name);
      if (cluster == coupling.cluster_of_layer.end()) {
        if (layer.prune_frozen.empty() && layer.cost.macs > 0 &&
            layer.cost.parameters > 0) {
          layer.prune_frozen =
              absl::StrCat("channels of ", layer.op, " are not followed");
        }
        continue;
      }
      const pruning::Cluster& found = coupling.clusters[cluster->second];
      layer.prunable_channels = static_cast<int64_t>(found.channels.size());
      layer.prune_group = found.name;
    }
  }

  absl::Status Quantize() {
    Graph folded = graph_;
    CONDENSE_RETURN_IF_ERROR(graph::FoldBatchNorm().Run(folded).status());
    CONDENSE_ASSIGN_OR_RETURN(const quantization::Numerics numerics,
                              DefaultNumerics(folded, profile_));
    CONDENSE_ASSIGN_OR_RETURN(const quantization::Placement placement,
                              quantization::PlaceQuantizers(folded, numerics));
    for (LayerAnalysis& layer : out_.layers) {
      MarkQuantized(placement.graph, &layer);
      const auto frozen = placement.frozen.find(layer.name);
      if (frozen != placement.frozen.end()) {
        layer.quantize_frozen = frozen->second;
      } else if (!layer.quantizable && layer.quantize_frozen.empty() &&
                 layer.cost.macs > 0) {
        layer.quantize_frozen =
            layer.cost.parameters > 0
                ? absl::StrCat("there is no integer kernel for ", layer.op)
                : "both operands are activations";
      }
    }
    CONDENSE_ASSIGN_OR_RETURN(const PredictedSizes sizes,
                              PredictSizes(placement.graph, profile_.opset()));
    out_.size_8bit = sizes.bits8;
    out_.size_4bit = sizes.bits4;
    const std::vector<double> seconds =
        EstimateSecondsPerNode(placement.graph, profile_.roofline());
    out_.seconds_quantized =
        std::accumulate(seconds.begin(), seconds.end(), 0.0);
    return absl::OkStatus();
  }

  static void MarkQuantized(const Graph& graph, LayerAnalysis* layer) {
    const NodeId id = graph.FindNode(layer->name);
    if (id == kNoNode) return;
    const Node* quantizer = QuantizerOf(graph, graph.node(id).input(1));
    layer->quantizable =
        quantizer != nullptr && quantizer->String("role", "") == "weight";
  }

  const Graph& graph_;
  const v1::DeviceProfile& profile_;
  const std::vector<graph::Cost> costs_;
  const std::vector<double> seconds_;
  Analysis out_;
};

}  // namespace

absl::StatusOr<Analysis> AnalyzeGraph(const Graph& graph, int64_t size_bytes,
                                      const v1::DeviceProfile& profile) {
  return Analyzer(graph, profile).Run(size_bytes);
}

}  // namespace condense::pipeline
