// condense-engine analyze.

#include <cstdio>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "workers/engine/graph/cost.h"
#include "workers/engine/pipeline/commands.h"
#include "workers/engine/pipeline/load_model.h"
#include "workers/engine/pruning/coupling.h"

namespace condense::pipeline {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using nlohmann::ordered_json;

ordered_json ValueJson(const Graph& graph, graph::ValueId id) {
  const graph::Value& value = graph.value(id);
  return {{"name", value.name},
          {"dtype", std::string(graph::DTypeName(value.dtype))},
          {"shape", graph::ShapeText(value.shape)}};
}

ordered_json LayersJson(const Graph& graph) {
  const std::vector<graph::Cost> costs = graph::CostPerNode(graph);
  const pruning::Coupling coupling = pruning::FindCoupling(graph);
  ordered_json layers = ordered_json::array();
  for (NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (costs[id].macs == 0) continue;
    ordered_json layer = {
        {"name", node.name},
        {"op", node.op},
        {"shape", graph::ShapeText(graph.value(node.outputs[0]).shape)},
        {"macs", costs[id].macs},
        {"parameters", costs[id].parameters}};
    const auto frozen = coupling.frozen.find(node.name);
    const auto cluster = coupling.cluster_of_layer.find(node.name);
    if (cluster != coupling.cluster_of_layer.end()) {
      layer["prunable_channels"] =
          coupling.clusters[cluster->second].channels.size();
    } else if (frozen != coupling.frozen.end()) {
      layer["frozen_reason"] = frozen->second;
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

ordered_json Describe(const Graph& graph, int64_t size_bytes) {
  std::map<std::string, int> operators;
  for (NodeId id : graph.order()) ++operators[graph.node(id).op];
  const graph::Cost cost = graph::CostOf(graph);
  ordered_json out = {{"name", graph.name},
                      {"size_bytes", size_bytes},
                      {"parameters", cost.parameters},
                      {"macs", cost.macs},
                      {"inputs", ordered_json::array()},
                      {"outputs", ordered_json::array()},
                      {"operators", operators},
                      {"layers", LayersJson(graph)}};
  for (auto id : graph.inputs()) out["inputs"].push_back(ValueJson(graph, id));
  for (auto id : graph.outputs()) {
    out["outputs"].push_back(ValueJson(graph, id));
  }
  return out;
}

void Print(const ordered_json& model) {
  std::printf("%s: %lld parameters, %lld multiply-accumulates, %lld bytes\n",
              model["name"].get<std::string>().c_str(),
              model["parameters"].get<long long>(),   // NOLINT: printf
              model["macs"].get<long long>(),         // NOLINT: printf
              model["size_bytes"].get<long long>());  // NOLINT: printf
  for (const char* key : {"inputs", "outputs"}) {
    for (const auto& value : model[key]) {
      std::printf("%-7s %s: %s %s\n", key,
                  value["name"].get<std::string>().c_str(),
                  value["dtype"].get<std::string>().c_str(),
                  value["shape"].get<std::string>().c_str());
    }
  }
  std::printf("operators");
  for (const auto& [op, count] : model["operators"].items()) {
    std::printf(" %s %d,", op.c_str(), count.get<int>());
  }
  std::printf("\n%-32s %-10s %-18s %12s %12s  %s\n", "layer", "op", "output",
              "macs", "parameters", "pruning");
  for (const auto& layer : model["layers"]) {
    const std::string pruning =
        layer.contains("prunable_channels")
            ? absl::StrCat(layer["prunable_channels"].get<int>(), " channels")
        : layer.contains("frozen_reason")
            ? layer["frozen_reason"].get<std::string>()
            : "";
    std::printf("%-32s %-10s %-18s %12lld %12lld  %s\n",
                layer["name"].get<std::string>().c_str(),
                layer["op"].get<std::string>().c_str(),
                layer["shape"].get<std::string>().c_str(),
                layer["macs"].get<long long>(),        // NOLINT: printf
                layer["parameters"].get<long long>(),  // NOLINT: printf
                pruning.c_str());
  }
}

}  // namespace

absl::Status Analyze(const std::string& model, const AnalyzeOptions& options) {
  CONDENSE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(model));
  CONDENSE_ASSIGN_OR_RETURN(const Graph graph,
                            LoadModelWith(model, options.model));
  const ordered_json description =
      Describe(graph, static_cast<int64_t>(bytes.size()));
  if (options.json) {
    std::printf("%s\n", description.dump().c_str());
  } else {
    Print(description);
  }
  return absl::OkStatus();
}

}  // namespace condense::pipeline
