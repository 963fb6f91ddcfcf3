#include "workers/engine/pipeline/verification.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/evaluation/codebook_weights.h"
#include "workers/engine/evaluation/integer_runtime.h"
#include "workers/engine/import/onnx.h"
#include "workers/engine/pipeline/other_operators.h"
#include "workers/engine/runtime/executor.h"

namespace condense::pipeline {
namespace {

using evaluation::Activation;
using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

// Multiply-accumulates that are worth waiting for.
constexpr double kVerifyMacs = 2e10;
// With random inputs, where there is no data.
constexpr int64_t kRandomBatches = 4;
constexpr int64_t kRandomBatch = 8;

// A batch with what the simulation makes of it.
struct Sample {
  torch::Tensor x;
  std::vector<int64_t> labels;
  // In the data set; empty: random inputs.
  std::vector<int64_t> places;
  std::vector<torch::Tensor> outputs;
  // Fake-quantized tensors by the name of the file's QuantizeLinear output.
  std::map<std::string, torch::Tensor> tensors;
};

// What one batch adds up to.
struct Tally {
  int64_t samples = 0;
  int64_t same = 0;
  int64_t hits = 0;
  int64_t hits5 = 0;
  double loss = 0;
  double cosine = 0;
  double max_abs = 0;
  double max_lsb = 0;
  // Where outputs are embeddings: the file's.
  evaluation::EmbeddedSamples embeddings;

  void Add(const Tally& other) {
    samples += other.samples;
    same += other.same;
    hits += other.hits;
    hits5 += other.hits5;
    loss += other.loss;
    cosine += other.cosine;
    max_abs = std::max(max_abs, other.max_abs);
    max_lsb = std::max(max_lsb, other.max_lsb);
    embeddings.Append(other.embeddings);
  }
};

Activation ToActivation(const torch::Tensor& tensor) {
  const torch::Tensor flat = tensor.to(torch::kCPU).contiguous();
  Activation out;
  out.dims = flat.sizes().vec();
  out.values.assign(flat.data_ptr<float>(),
                    flat.data_ptr<float>() + flat.numel());
  return out;
}

// Observed values of the simulation and how the file calls them.
std::map<ValueId, std::string> QuantizedTensors(const Graph& simulation) {
  std::map<ValueId, std::string> names;
  for (NodeId id : simulation.order()) {
    const Node& node = simulation.node(id);
    if (!node.IsFakeQuantize() || node.String("role", "") != "activation") {
      continue;
    }
    names[node.outputs[0]] =
        simulation.value(node.inputs[0]).name + "_quantized_levels";
  }
  return names;
}

// Inputs of the model's shape, the batch first; open sizes become 8.
torch::Tensor RandomInput(const Graph& graph, int64_t seed) {
  std::vector<int64_t> dims = {kRandomBatch};
  const auto& shape = graph.value(graph.inputs()[0]).shape;
  for (size_t i = 1; shape && i < shape->size(); ++i) {
    dims.push_back((*shape)[i].known() ? (*shape)[i].value : 8);
  }
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(seed));
  return torch::randn(dims, generator);
}

// The batches, run through the simulation.
absl::StatusOr<std::vector<Sample>> Simulate(const Graph& simulation,
                                             data::Loader* loader,
                                             const VerifyOptions& options) {
  CONDENSE_ASSIGN_OR_RETURN(
      auto executor,
      runtime::Executor::Create(simulation, {.device = options.device}));
  const std::map<ValueId, std::string> names = QuantizedTensors(simulation);
  std::vector<ValueId> watched;
  for (const auto& [id, name] : names) watched.push_back(id);
  std::vector<Sample> samples;
  int64_t count = 0;
  executor->Observe(watched, [&](ValueId id, const torch::Tensor& value) {
    if (count < options.tensor_samples) {
      samples.back().tensors[names.at(id)] = value.to(torch::kCPU).clone();
    }
  });
  const torch::NoGradGuard no_grad;
  if (loader != nullptr) loader->Seek(0, 0);
  while (count < options.samples) {
    Sample& sample = samples.emplace_back();
    if (loader != nullptr) {
      CONDENSE_ASSIGN_OR_RETURN(auto batch, loader->Next());
      if (!batch.has_value()) {
        samples.pop_back();
        break;
      }
      sample.x = training::ToTensors(*batch, executor->device()).x;
      sample.labels = batch->labels;
      sample.places = batch->indices;
    } else {
      const auto seed = static_cast<int64_t>(samples.size());
      sample.x = RandomInput(simulation, seed).to(executor->device());
    }
    CONDENSE_ASSIGN_OR_RETURN(sample.outputs, executor->Run({sample.x}));
    count += sample.x.size(0);
    if (options.interrupted) CONDENSE_RETURN_IF_ERROR(options.interrupted());
    if (loader == nullptr &&
        static_cast<int64_t>(samples.size()) >= kRandomBatches) {
      break;
    }
  }
  return samples;
}

void CompareRow(const float* file, const float* simulated, int64_t size,
                Tally* tally) {
  double dot = 0, aa = 0, bb = 0;
  for (int64_t i = 0; i < size; ++i) {
    const double a = file[i], b = simulated[i];
    dot += a * b;
    aa += a * a;
    bb += b * b;
    tally->max_abs = std::max(tally->max_abs, std::abs(a - b));
  }
  const double norm = std::sqrt(aa) * std::sqrt(bb);
  tally->cosine += norm > 0 ? dot / norm : (aa == bb ? 1.0 : 0.0);
  ++tally->samples;
  tally->same += std::max_element(file, file + size) - file ==
                 std::max_element(simulated, simulated + size) - simulated;
}

void ScoreRow(const float* row, int64_t size, int64_t label, Tally* tally) {
  if (label < 0 || label >= size) return;
  int64_t above = 0;
  double sum = 0;
  const double most = *std::max_element(row, row + size);
  for (int64_t i = 0; i < size; ++i) {
    above += row[i] > row[label] || (row[i] == row[label] && i < label);
    sum += std::exp(row[i] - most);
  }
  tally->hits += above < 1;
  tally->hits5 += above < 5;
  tally->loss += std::log(sum) + most - row[label];
}

// The file alone, from the same inputs.
absl::StatusOr<Tally> RunAlone(const evaluation::IntegerRuntime& runtime,
                               const Sample& sample, bool embeddings) {
  CONDENSE_ASSIGN_OR_RETURN(const std::vector<Activation> outputs,
                            runtime.Run({ToActivation(sample.x)}));
  const Activation simulated = ToActivation(sample.outputs[0]);
  if (outputs.empty() || outputs[0].dims != simulated.dims) {
    return MakeError(absl::StatusCode::kDataLoss, "FILE_MISMATCH",
                     "the exported file has other outputs than the model");
  }
  Tally tally;
  const int64_t rows = simulated.dims[0];
  const int64_t size = static_cast<int64_t>(simulated.values.size()) /
                       std::max<int64_t>(1, rows);
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = outputs[0].values.data() + r * size;
    CompareRow(row, simulated.values.data() + r * size, size, &tally);
    if (sample.places.empty()) continue;
    if (embeddings) {
      tally.embeddings.Add(sample.places[r], row, size);
    } else {
      ScoreRow(row, size, sample.labels[r], &tally);
    }
  }
  return tally;
}

// The greatest difference of a quantized tensor in steps, when each node gets
// the simulation's inputs.
absl::StatusOr<double> CompareTensors(const evaluation::IntegerRuntime& runtime,
                                      const Sample& sample) {
  double most = 0;
  const auto tap = [&](const std::string& name, Activation* value) {
    const auto it = sample.tensors.find(name);
    if (it == sample.tensors.end() || !value->quantized()) return;
    const torch::Tensor flat = it->second.contiguous();
    const float* simulated = flat.data_ptr<float>();
    for (size_t i = 0; i < value->levels.size(); ++i) {
      const auto level = static_cast<int32_t>(std::nearbyint(
                             double{simulated[i]} / value->scale)) +
                         value->zero_point;
      most = std::max<double>(most, std::abs(value->levels[i] - level));
      value->levels[i] = level;
    }
    value->values.clear();
  };
  CONDENSE_RETURN_IF_ERROR(runtime.Run({ToActivation(sample.x)}, tap).status());
  return most;
}

// All batches, a few at a time.
absl::StatusOr<Tally> RunFile(const evaluation::IntegerRuntime& runtime,
                              const std::vector<Sample>& samples,
                              const VerifyOptions& options) {
  std::vector<absl::StatusOr<Tally>> results(samples.size(), Tally());
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < samples.size(); i = next++) {
      results[i] = RunAlone(runtime, samples[i], options.embeddings);
      if (!results[i].ok() || samples[i].tensors.empty()) continue;
      const auto lsb = CompareTensors(runtime, samples[i]);
      if (lsb.ok()) {
        results[i]->max_lsb = *lsb;
      } else {
        results[i] = lsb.status();
      }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < options.threads; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  Tally sum;
  for (const auto& result : results) {
    CONDENSE_RETURN_IF_ERROR(result.status());
    sum.Add(*result);
  }
  return sum;
}

}  // namespace

int64_t AffordableSamples(int64_t macs) {
  const double samples =
      kVerifyMacs / static_cast<double>(std::max<int64_t>(1, macs));
  return std::clamp<int64_t>(static_cast<int64_t>(samples), 32, 2000);
}

absl::StatusOr<Verification> Verify(const graph::Graph& simulation,
                                    const std::string& file,
                                    data::Loader* loader,
                                    const VerifyOptions& options) {
  CONDENSE_ASSIGN_OR_RETURN(Graph exported,
                            onnx_import::ImportOnnx(file, {.raw = true}));
  CONDENSE_RETURN_IF_ERROR(evaluation::DecodeCodebookWeights(&exported));
  CONDENSE_ASSIGN_OR_RETURN(
      auto runtime,
      evaluation::IntegerRuntime::Create(&exported, OtherOperators(&exported)));
  CONDENSE_ASSIGN_OR_RETURN(const std::vector<Sample> samples,
                            Simulate(simulation, loader, options));
  CONDENSE_ASSIGN_OR_RETURN(Tally tally, RunFile(*runtime, samples, options));
  Verification out;
  const double n = std::max<int64_t>(1, tally.samples);
  out.agreement.samples = tally.samples;
  if (!options.embeddings) out.agreement.top1 = tally.same / n;
  out.agreement.cosine = tally.cosine / n;
  out.agreement.max_abs = tally.max_abs;
  if (!QuantizedTensors(simulation).empty()) {
    out.agreement.max_lsb = tally.max_lsb;
  }
  out.agreement.runtime = "condense integer verifier";
  if (options.embeddings) {
    out.embeddings = std::move(tally.embeddings);
  } else if (loader != nullptr) {
    out.file = training::ClassificationOf(static_cast<double>(tally.hits),
                                          static_cast<double>(tally.hits5),
                                          tally.loss, tally.samples);
  }
  return out;
}

}  // namespace condense::pipeline
