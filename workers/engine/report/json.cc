#include "nlohmann/json.hpp"

#include "workers/engine/report/report.h"

namespace condense::report {
namespace {

using nlohmann::ordered_json;

template <typename T>
void Put(ordered_json& json, const char* key, const std::optional<T>& value) {
  if (value.has_value()) json[key] = *value;
}

ordered_json GateJson(const Gate& gate) {
  ordered_json json = {{"name", gate.name},
                       {"bound", gate.bound},
                       {"value", gate.value},
                       {"passed", gate.passed}};
  if (gate.estimated) json["estimated"] = true;
  return json;
}

ordered_json FiguresJson(const ModelFigures& figures) {
  ordered_json json;
  json["metrics"] = ordered_json::object();
  for (const auto& [name, value] : figures.metrics) {
    json["metrics"][name] = value;
  }
  Put(json, "size_bytes", figures.size_bytes);
  Put(json, "parameters", figures.parameters);
  Put(json, "macs", figures.macs);
  if (figures.latency.has_value()) {
    const Latency& latency = *figures.latency;
    json["latency_ms"] = {{"p50", latency.p50_ms},
                          {"p95", latency.p95_ms},
                          {"runtime", latency.runtime},
                          {"threads", latency.threads},
                          {"batch", latency.batch}};
    if (latency.estimated) json["latency_ms"]["estimated"] = true;
  }
  return json;
}

ordered_json AgreementJson(const Agreement& agreement) {
  ordered_json json = ordered_json::object();
  Put(json, "top1", agreement.top1);
  Put(json, "max_abs", agreement.max_abs);
  Put(json, "cosine", agreement.cosine);
  Put(json, "max_lsb", agreement.max_lsb);
  json["samples"] = agreement.samples;
  json["runtime"] = agreement.runtime;
  return json;
}

ordered_json EmbeddingJson(const Embedding& embedding) {
  return {{"cosine_mean", embedding.cosine_mean},
          {"cosine_min", embedding.cosine_min},
          {"size", embedding.size},
          {"samples", embedding.samples},
          {"genuine_pairs", embedding.genuine_pairs},
          {"impostor_pairs", embedding.impostor_pairs}};
}

ordered_json LayerJson(const Layer& layer) {
  ordered_json json = {{"name", layer.name}, {"op", layer.op}};
  Put(json, "bits_weight", layer.bits_weight);
  Put(json, "bits_activation", layer.bits_activation);
  if (!layer.scheme.empty()) json["scheme"] = layer.scheme;
  if (!layer.granularity.empty()) json["granularity"] = layer.granularity;
  Put(json, "sparsity", layer.sparsity);
  Put(json, "channels_before", layer.channels_before);
  Put(json, "channels_after", layer.channels_after);
  Put(json, "snr_db", layer.snr_db);
  Put(json, "size_bytes", layer.size_bytes);
  if (!layer.frozen_reason.empty()) {
    json["frozen_reason"] = layer.frozen_reason;
  }
  return json;
}

ordered_json StageJson(const Stage& stage) {
  ordered_json json = {{"name", stage.name},
                       {"technique", stage.technique},
                       {"seconds", stage.seconds},
                       {"steps", stage.steps}};
  Put(json, "metric_before", stage.metric_before);
  Put(json, "metric_after", stage.metric_after);
  if (!stage.ended.empty()) json["ended"] = stage.ended;
  return json;
}

template <typename T, typename Convert>
ordered_json List(const std::vector<T>& items, Convert convert) {
  ordered_json json = ordered_json::array();
  for (const T& item : items) json.push_back(convert(item));
  return json;
}

}  // namespace

std::string ToJson(const Report& report) {
  ordered_json json;
  json["schema_version"] = Report::kSchemaVersion;
  json["job"] = report.job;
  json["profile"] = report.profile;
  json["verdict"] = report.verdict;
  if (report.cut) json["cut"] = true;
  json["gates"] = List(report.gates, GateJson);
  json["baseline"] = FiguresJson(report.baseline);
  json["compressed"] = FiguresJson(report.compressed);
  if (report.agreement.has_value()) {
    json["agreement"] = AgreementJson(*report.agreement);
  }
  if (report.embedding.has_value()) {
    json["embedding"] = EmbeddingJson(*report.embedding);
  }
  json["layers"] = List(report.layers, LayerJson);
  json["groups"] = ordered_json::array();
  json["stages"] = List(report.stages, StageJson);
  json["warnings"] = report.warnings;
  if (report.color_bits.has_value()) {
    json["input"] = {{"color_bits", *report.color_bits}};
  }
  json["seed"] = report.seed;
  json["toolchain"] = report.toolchain;
  json["device"] = report.device;
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) +
         "\n";
}

}  // namespace condense::report
