#ifndef CONDENSE_WORKERS_ENGINE_REPORT_REPORT_H_
#define CONDENSE_WORKERS_ENGINE_REPORT_REPORT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace condense::report {

// One bound of the recipe and what was measured.
struct Gate {
  std::string name;
  double bound = 0;
  double value = 0;
  bool passed = false;
  // True: from the profile's roofline, not from a run.
  bool estimated = false;
};

// Milliseconds for one batch.
struct Latency {
  double p50_ms = 0;
  double p95_ms = 0;
  std::string runtime;
  int threads = 1;
  int batch = 1;
  bool estimated = false;
};

// One model: the original or the compressed one. What was not measured is
// absent, never 0.
struct ModelFigures {
  // Fractions in [0, 1] ("top1", "top5", "accuracy", "eer", ...) and "loss".
  std::map<std::string, double> metrics;
  std::optional<int64_t> size_bytes;
  std::optional<int64_t> parameters;
  // Multiply-accumulates for one sample.
  std::optional<int64_t> macs;
  std::optional<Latency> latency;
};

// The exported file, run by code that shares nothing with training, against
// the in-training simulation.
struct Agreement {
  // Share of samples with the same first class; absent of embeddings.
  std::optional<double> top1;
  // Of the outputs, dequantized.
  std::optional<double> max_abs;
  // Mean cosine of the outputs.
  std::optional<double> cosine;
  // Greatest difference of any quantized tensor, in steps of its scale, when
  // both sides get the same inputs to that node.
  std::optional<double> max_lsb;
  int64_t samples = 0;
  std::string runtime;
};

// Of task verification: the compressed model's embeddings of the evaluation
// data beside those of the original model, and what its figures were measured
// on.
struct Embedding {
  // Values of one.
  int64_t size = 0;
  int64_t samples = 0;
  // Of the two models' embeddings of one sample.
  double cosine_mean = 0;
  double cosine_min = 0;
  // Pairs of samples that show the same, and that do not.
  int64_t genuine_pairs = 0;
  int64_t impostor_pairs = 0;
};

// One layer with weights, after compression.
struct Layer {
  std::string name;
  std::string op;
  std::optional<int> bits_weight;
  std::optional<int> bits_activation;
  std::string scheme;
  std::string granularity;
  // Share of zero weights.
  std::optional<double> sparsity;
  std::optional<int64_t> channels_before;
  std::optional<int64_t> channels_after;
  // Of the weights: 10 log10(signal power / quantization noise power).
  std::optional<double> snr_db;
  std::optional<int64_t> size_bytes;
  // Why it was left alone; empty if it was not.
  std::string frozen_reason;
};

// One stage of the recipe as it ran.
struct Stage {
  std::string name;
  std::string technique;
  double seconds = 0;
  int64_t steps = 0;
  std::optional<double> metric_before;
  std::optional<double> metric_after;
  // Why training ended before its last step; empty: it did not.
  std::string ended;
  // True: by the job's time budget.
  bool cut = false;
};

// One point of a training curve, for the plots.
struct CurvePoint {
  int64_t step = 0;
  double value = 0;
};

// Everything report.json holds (contract, section 5).
struct Report {
  static constexpr int kSchemaVersion = 1;

  std::string job;
  std::string profile;
  // A line for people about the profile.
  std::string profile_title;
  // "PASSED", "BELOW_ACCURACY", "TOO_LARGE", "TOO_SLOW".
  std::string verdict;
  std::vector<Gate> gates;
  ModelFigures baseline;
  ModelFigures compressed;
  std::optional<Agreement> agreement;
  std::optional<Embedding> embedding;
  std::vector<Layer> layers;
  std::vector<Stage> stages;
  // The time budget ended training early: the best so far, not the recipe's
  // last step.
  bool cut = false;
  std::vector<std::string> warnings;
  // Per channel of the images that the model gets, where these are fewer than
  // 8: data::ReduceColor.
  std::optional<int> color_bits;
  int64_t seed = 0;
  // Versions of what made it: "condense", "libtorch", ...
  std::map<std::string, std::string> toolchain;
  // "cpu" or "cuda:0".
  std::string device;
  // By metric name, e.g. "loss"; only in the page.
  std::map<std::string, std::vector<CurvePoint>> curves;
};

// The text of report.json, indented by two spaces.
std::string ToJson(const Report& report);

// A self-contained page: no script, no outside resource.
std::string ToHtml(const Report& report);

}  // namespace condense::report

#endif  // CONDENSE_WORKERS_ENGINE_REPORT_REPORT_H_
