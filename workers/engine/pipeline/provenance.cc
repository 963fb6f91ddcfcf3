#include "workers/engine/pipeline/provenance.h"

#include <filesystem>

#include "common/digest.h"
#include "nlohmann/json.hpp"
#include "workers/engine/pipeline/toolchain.h"

namespace condense::pipeline {
namespace {

using nlohmann::ordered_json;

// "sha256:<hex>" as in-toto writes it.
ordered_json DigestSet(const std::string& digest) {
  return {{"sha256", digest.substr(digest.find(':') + 1)}};
}

ordered_json Dependency(const std::string& name, const std::string& digest) {
  return {{"name", name}, {"digest", DigestSet(digest)}};
}

}  // namespace

std::string ProvenanceJson(const Job& job, const v1::DeviceProfile& profile,
                           const std::string& model_digest) {
  ordered_json dependencies = ordered_json::array();
  const std::string model =
      std::filesystem::path(job.file().model()).filename().string();
  dependencies.push_back(Dependency(model, job.model_digest()));
  for (const auto& [name, digest] : job.data_digests()) {
    dependencies.push_back(Dependency("data/" + name, digest));
  }
  const std::string recipe = recipe::RecipeToYaml(job.recipe());
  ordered_json parameters = {{"profile", profile.id()},
                             {"recipe", DigestSet(DigestOf(recipe))},
                             {"seed", job.recipe().seed()},
                             {"device", job.device()}};
  if (const auto bits = job.color_bits()) {
    parameters["input"] = {{"color_bits", *bits}};
  }
  const ordered_json statement = {
      {"_type", "https://in-toto.io/Statement/v1"},
      {"subject",
       {{{"name", "model.onnx"}, {"digest", DigestSet(model_digest)}}}},
      {"predicateType", "https://slsa.dev/provenance/v1"},
      {"predicate",
       {{"buildDefinition",
         {{"buildType", "https://condense.dev/compression/v1"},
          {"externalParameters", parameters},
          {"resolvedDependencies", dependencies}}},
        {"runDetails",
         {{"builder",
           {{"id", "https://condense.dev/engine"}, {"version", Toolchain()}}},
          {"metadata", {{"invocationId", job.file().name()}}}}}}}};
  return statement.dump(2) + "\n";
}

std::string TensorsJson(const std::vector<quantization::TensorRow>& rows) {
  ordered_json tensors = ordered_json::array();
  for (const quantization::TensorRow& row : rows) {
    ordered_json tensor = {
        {"name", row.name}, {"shape", row.shape}, {"dtype", row.dtype}};
    if (!row.scale.empty()) {
      tensor["scale"] = row.scale;
      tensor["zero_point"] = row.zero_point;
      if (row.axis >= 0) tensor["axis"] = row.axis;
      if (row.block_size > 0) tensor["block_size"] = row.block_size;
    }
    tensors.push_back(std::move(tensor));
  }
  return ordered_json{{"tensors", tensors}}.dump(1) + "\n";
}

}  // namespace condense::pipeline
