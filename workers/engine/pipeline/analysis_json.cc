#include "nlohmann/json.hpp"
#include "workers/engine/pipeline/analysis_text.h"

namespace condense::pipeline {
namespace {

using nlohmann::ordered_json;

ordered_json ValuesJson(const graph::Graph& graph,
                        const std::vector<graph::ValueId>& ids) {
  ordered_json values = ordered_json::array();
  for (graph::ValueId id : ids) {
    const graph::Value& value = graph.value(id);
    values.push_back({{"name", value.name},
                      {"dtype", std::string(graph::DTypeName(value.dtype))},
                      {"shape", graph::ShapeText(value.shape)}});
  }
  return values;
}

ordered_json LayerJson(const LayerAnalysis& layer) {
  ordered_json json = {{"name", layer.name},
                       {"op", layer.op},
                       {"shape", layer.shape},
                       {"macs", layer.cost.macs},
                       {"parameters", layer.cost.parameters},
                       {"bytes", layer.cost.parameter_bytes},
                       {"activation_bytes", layer.cost.activation_bytes},
                       {"estimated_ms", layer.seconds * 1e3},
                       {"quantizable", layer.quantizable}};
  if (layer.prunable_channels > 0) {
    json["prunable_channels"] = layer.prunable_channels;
    json["prune_group"] = layer.prune_group;
  } else if (!layer.prune_frozen.empty()) {
    json["frozen_reason"] = layer.prune_frozen;
  }
  if (!layer.quantize_frozen.empty()) {
    json["quantize_frozen_reason"] = layer.quantize_frozen;
  }
  return json;
}

}  // namespace

ordered_json AnalysisJson(const graph::Graph& graph, const Analysis& analysis) {
  ordered_json json = {{"name", analysis.name},
                       {"size_bytes", analysis.size_bytes},
                       {"parameters", analysis.cost.parameters},
                       {"macs", analysis.cost.macs},
                       {"parameter_bytes", analysis.cost.parameter_bytes},
                       {"activation_bytes", analysis.cost.activation_bytes},
                       {"inputs", ValuesJson(graph, graph.inputs())},
                       {"outputs", ValuesJson(graph, graph.outputs())},
                       {"operators", ordered_json::object()},
                       {"profile", analysis.profile},
                       {"quantized", analysis.quantized},
                       {"estimated_ms", analysis.seconds * 1e3}};
  if (analysis.seconds_quantized) {
    json["estimated_ms_quantized"] = *analysis.seconds_quantized * 1e3;
  }
  json["prunable_channels"] = analysis.prunable_channels;
  json["prunable_groups"] = analysis.prunable_groups;
  if (analysis.size_8bit && analysis.size_4bit) {
    json["predicted_size_bytes"] = {{"bits_8", *analysis.size_8bit},
                                    {"bits_4", *analysis.size_4bit}};
  }
  json["layers"] = ordered_json::array();
  for (const LayerAnalysis& layer : analysis.layers) {
    json["layers"].push_back(LayerJson(layer));
  }
  json["operator_costs"] = ordered_json::array();
  for (const OperatorAnalysis& op : analysis.operators) {
    json["operators"][op.op] = op.count;
    json["operator_costs"].push_back(
        {{"op", op.op},
         {"count", op.count},
         {"macs", op.cost.macs},
         {"parameters", op.cost.parameters},
         {"bytes", op.cost.parameter_bytes},
         {"activation_bytes", op.cost.activation_bytes},
         {"estimated_ms", op.seconds * 1e3}});
  }
  return json;
}

}  // namespace condense::pipeline
