// Quantizes a real model after training and prints what that costs, as one JSON
// line per row: the error of the outputs against the float model (SQNR in dB,
// agreement, cosine), accuracy or face verification before and after, and the
// seconds and peak memory of the quantization itself on one core.
//
// Usage: ptq_benchmark CASE [QUANTIZE] [SAMPLES] [PROFILE] [SEED]
//   CASE      resnet20, resnet56, vit (CIFAR-10 files), mobilefacenet (ORL), or
//             mobilefacenet_spread: with Relu for ReLU6, so that channels may
//             be scaled (Nagel et al., arXiv:1906.04721, 5.1.1), and then the
//             same function with those between two layers scaled by
//             2^U(-6, 6), drawn by SEED; or
//             vit_spread: the same function with two channels in 48 of what
//             each linear layer behind a normalisation reads, drawn by SEED,
//             made 32 times as large, as large language models have them
//             (Dettmers et al., arXiv:2208.07339)
//   QUANTIZE  the quantize stage of a recipe; default "{mode: ptq}". Or
//   "ratio":
//             a calibration pass against a plain forward pass, in turn
//   SAMPLES   test images that are measured; default all
//   PROFILE   default onnxruntime-cpu-x86-vnni
// Reads CONDENSE_SHARED (77: it is not there) and CONDENSE_DATA_DIR.

#include <sys/resource.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/profiles/profiles.h"
#include "common/recipe/recipe.h"
#include "common/status_macros.h"
#include "tests/benchmarks/orl_faces.h"
#include "tests/testing/shared_dir.h"
#include "workers/engine/data/loader.h"
#include "workers/engine/data/random.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/passes/fold_batch_norm.h"
#include "workers/engine/pipeline/load_model.h"
#include "workers/engine/pipeline/quantize_settings.h"
#include "workers/engine/pipeline/settings.h"
#include "workers/engine/quantization/calibrate.h"
#include "workers/engine/quantization/channel_classes.h"
#include "workers/engine/quantization/equalize.h"
#include "workers/engine/quantization/post_training.h"
#include "workers/engine/quantization/smooth_quant.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/training/trainer.h"

namespace condense {
namespace {

constexpr int64_t kCalibration = 256;

struct Case {
  std::string name;
  std::string model;
  bool faces = false;
  int image = 32;
  bool spread = false;
  // Of CIFAR-10 (vit was trained with it) instead of ImageNet.
  bool cifar_norm = false;
};

const Case kCases[] = {
    {"resnet20", "derived_resnet20_cifar10_op13.onnx"},
    {"resnet56", "derived_resnet56_cifar10_scripted.pt"},
    {"vit", "cifar10_vit_pgd_2_3_16_op9.onnx", false, 32, false, true},
    {"vit_spread", "cifar10_vit_pgd_2_3_16_op9.onnx", false, 32, true, true},
    {"mobilefacenet", "mobilefacenet_op18.onnx", true, 112},
    {"mobilefacenet_spread", "mobilefacenet_op18.onnx", true, 112, true},
};

struct Files {
  std::unique_ptr<data::Dataset> calibration;
  std::unique_ptr<data::Dataset> test;
  const data::Dataset& calibrating() const {
    return calibration ? *calibration : *test;
  }
};

absl::StatusOr<Files> Open(const Case& which, const std::string& shared) {
  Files files;
  if (which.faces) {
    CONDENSE_ASSIGN_OR_RETURN(
        files.test,
        OrlFaces::Open(shared + "/data/orl_faces/orl_faces_s1-s20.tar.xz"));
    return files;
  }
  const std::string folder = shared + "/data/cifar10-jpg/cifar10_";
  CONDENSE_ASSIGN_OR_RETURN(files.calibration,
                            data::OpenDataset(folder + "train_jpg.tar.xz"));
  CONDENSE_ASSIGN_OR_RETURN(files.test,
                            data::OpenDataset(folder + "test_jpg.tar.xz"));
  return files;
}

struct Normalisation {
  std::vector<double> mean, std;
};

Normalisation NormalisationOf(const Case& which) {
  if (which.cifar_norm) {
    return {{0.4914, 0.4822, 0.4465}, {0.2023, 0.1994, 0.2010}};
  }
  return {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};
}

data::LoaderOptions Loading(const Case& which, int64_t samples, uint64_t seed) {
  data::LoaderOptions options;
  options.samples = samples;
  options.seed = seed;
  options.preprocess.scale = 1.0 / 255;
  options.preprocess.mean = NormalisationOf(which).mean;
  options.preprocess.std = NormalisationOf(which).std;
  options.preprocess.color = data::Color::kRgb;
  options.preprocess.resize_height = options.preprocess.resize_width =
      which.image;
  options.shape = {3, which.image, which.image};
  return options;
}

// Makes a model hard to quantize that, but for its ReLU6, stays the same float
// function.
absl::Status Spread(uint64_t seed, graph::Graph* graph) {
  constexpr double kOctaves = 6;
  CONDENSE_RETURN_IF_ERROR(graph::FoldBatchNorm().Run(*graph).status());
  CONDENSE_RETURN_IF_ERROR(graph::InferShapes(*graph));
  for (graph::NodeId id : graph->order()) {
    graph::Node& node = graph->mutable_node(id);
    if (!node.Is("Clip")) continue;
    node.op = "Relu";
    node.inputs.resize(1);
  }
  data::Random random(seed);
  std::vector<double> factors(quantization::FindChannelClasses(*graph).size());
  for (double& factor : factors) {
    factor = std::exp2(random.Uniform(-kOctaves, kOctaves));
  }
  if (!factors.empty()) quantization::ScaleChannelClasses(factors, graph);
  return absl::OkStatus();
}

// Gives a transformer channels that are much larger than the rest, in the same
// float function.
absl::Status AddOutliers(uint64_t seed, graph::Graph* graph) {
  constexpr float kFactor = 32;
  constexpr size_t kChannelsPerOutlier = 24;
  CONDENSE_RETURN_IF_ERROR(graph::FoldBatchNorm().Run(*graph).status());
  CONDENSE_RETURN_IF_ERROR(graph::InferShapes(*graph));
  data::Random random(seed);
  std::vector<quantization::SmoothSite> sites;
  std::map<graph::ValueId, quantization::ChannelStatistics> seen;
  for (const auto& site : quantization::FindSmoothSites(*graph)) {
    const graph::Node& maker = graph->node(site.maker);
    if (maker.Is("MatMul") || maker.Is("Gemm")) continue;
    const auto channels =
        static_cast<size_t>(graph->ConstantOf(maker.inputs[1])->num_elements());
    // With strength 1 a channel is divided by the largest value seen in it.
    quantization::ChannelStatistics statistics;
    statistics.low.assign(channels, 0);
    statistics.high.assign(channels, 1);
    for (size_t i = 0; i < channels / kChannelsPerOutlier; ++i) {
      const double at = random.Uniform(0, static_cast<double>(channels));
      statistics.high[static_cast<size_t>(at)] = 1 / kFactor;
    }
    seen[site.input] = statistics;
    sites.push_back(site);
  }
  for (const auto& site : sites) {
    std::fprintf(stderr, "outliers in %s\n",
                 graph->value(site.input).name.c_str());
  }
  quantization::SmoothActivations(sites, seen, 1, graph);
  return absl::OkStatus();
}

// What was spent on making the quantized model.
struct Spent {
  double seconds = 0;
  // Of all threads: what the seconds are where nothing else runs.
  double cpu_seconds = 0;
  double peak_mib = 0;
};

double PeakMib() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * time.tv_usec;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Outputs {
  torch::Tensor floats;
  torch::Tensor quantized;
  torch::Tensor labels;
};

absl::StatusOr<Outputs> RunBoth(const graph::Graph& original,
                                const graph::Graph& quantized,
                                data::Loader* loader) {
  CONDENSE_ASSIGN_OR_RETURN(auto before, runtime::Executor::Create(original));
  CONDENSE_ASSIGN_OR_RETURN(auto after, runtime::Executor::Create(quantized));
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> floats, integers, labels;
  loader->Seek(0, 0);
  while (true) {
    CONDENSE_ASSIGN_OR_RETURN(auto batch, loader->Next());
    if (!batch.has_value()) break;
    const training::TrainBatch tensors =
        training::ToTensors(*batch, torch::kCPU);
    CONDENSE_ASSIGN_OR_RETURN(auto y, before->Run({tensors.x}));
    CONDENSE_ASSIGN_OR_RETURN(auto z, after->Run({tensors.x}));
    floats.push_back(y[0].flatten(1));
    integers.push_back(z[0].flatten(1));
    labels.push_back(tensors.labels);
  }
  return Outputs{torch::cat(floats), torch::cat(integers), torch::cat(labels)};
}

double Number(const torch::Tensor& tensor) {
  return tensor.to(torch::kFloat64).item<double>();
}

double SqnrDb(const Outputs& out) {
  const torch::Tensor y = out.floats.to(torch::kFloat64);
  const torch::Tensor error = y - out.quantized.to(torch::kFloat64);
  return 10 * std::log10(Number(y.square().sum() / error.square().sum()));
}

double Top1(const torch::Tensor& logits, const torch::Tensor& labels) {
  return Number(logits.argmax(1).eq(labels).to(torch::kFloat64).mean());
}

// All pairs of images by the cosine of their embeddings.
struct Verification {
  double eer = 0;
  double rank1 = 0;
};

Verification Verify(const torch::Tensor& embeddings,
                    const torch::Tensor& labels) {
  const torch::Tensor unit =
      embeddings / embeddings.norm(2, {1}, true).clamp_min(1e-12);
  torch::Tensor scores = torch::mm(unit, unit.t());
  const int64_t n = labels.numel();
  std::vector<std::pair<float, bool>> pairs;
  int64_t genuine = 0, hits = 0;
  const auto score = scores.accessor<float, 2>();
  const auto label = labels.accessor<int64_t, 1>();
  for (int64_t i = 0; i < n; ++i) {
    int64_t best = i == 0 ? 1 : 0;
    for (int64_t j = 0; j < n; ++j) {
      if (j != i && score[i][j] > score[i][best]) best = j;
      if (j <= i) continue;
      pairs.emplace_back(score[i][j], label[i] == label[j]);
      genuine += label[i] == label[j];
    }
    hits += label[best] == label[i];
  }
  std::sort(pairs.rbegin(), pairs.rend());
  const double impostors = static_cast<double>(pairs.size()) - genuine;
  double accepted = 0, wrong = 0;
  Verification out;
  for (size_t i = 0; i < pairs.size(); ++i) {
    (pairs[i].second ? accepted : wrong) += 1;
    // Equal scores are on the same side of any threshold.
    if (i + 1 < pairs.size() && pairs[i + 1].first == pairs[i].first) continue;
    const double miss = 1 - accepted / genuine, alarm = wrong / impostors;
    if (alarm >= miss) {
      out.eer = (alarm + miss) / 2;
      break;
    }
  }
  out.rank1 = static_cast<double>(hits) / static_cast<double>(n);
  return out;
}

void Print(const Case& which, const std::string& recipe,
           const std::string& profile, uint64_t seed, const Outputs& out,
           const Spent& spent) {
  std::printf(
      "{\"benchmark\":\"ptq\",\"model\":\"%s\",\"quantize\":\"%s\","
      "\"profile\":\"%s\",\"seed\":%llu,\"samples\":%lld,\"sqnr_db\":%.2f,",
      which.name.c_str(), recipe.c_str(), profile.c_str(),
      static_cast<unsigned long long>(seed),
      static_cast<long long>(out.labels.numel()), SqnrDb(out));
  if (which.faces) {
    const torch::Tensor cosine =
        torch::cosine_similarity(out.floats, out.quantized, 1);
    const Verification before = Verify(out.floats, out.labels);
    const Verification after = Verify(out.quantized, out.labels);
    std::printf(
        "\"cosine_mean\":%.5f,\"cosine_min\":%.5f,\"eer_float\":%.4f,"
        "\"eer\":%.4f,\"rank1_float\":%.4f,\"rank1\":%.4f,",
        Number(cosine.mean()), Number(cosine.min()), before.eer, after.eer,
        before.rank1, after.rank1);
  } else {
    std::printf("\"agreement\":%.4f,\"float_top1\":%.4f,\"top1\":%.4f,",
                Top1(out.quantized, out.floats.argmax(1)),
                Top1(out.floats, out.labels), Top1(out.quantized, out.labels));
  }
  std::printf("\"seconds\":%.2f,\"cpu_seconds\":%.2f,\"peak_mib\":%.0f}\n",
              spent.seconds, spent.cpu_seconds, spent.peak_mib);
}

absl::Status Measure(const Case& which, const std::string& quantize,
                     int64_t samples, const std::string& profile_id,
                     uint64_t seed) {
  const std::string shared = testing::SharedDir();
  CONDENSE_ASSIGN_OR_RETURN(
      recipe::ParsedRecipe parsed,
      recipe::ParseRecipe(absl::StrCat(
          "data: {preprocess: {scale: 0.00392156862745098, mean: [",
          absl::StrJoin(NormalisationOf(which).mean, ", "), "], std: [",
          absl::StrJoin(NormalisationOf(which).std, ", "), "]}}\n",
          "stages: [quantize: ", quantize, "]\nseed: ", seed, "\n")));
  v1::Recipe resolved = parsed.recipe;
  recipe::ResolveRecipe(&resolved);
  CONDENSE_ASSIGN_OR_RETURN(const v1::DeviceProfile profile,
                            profiles::LoadProfile(profile_id));
  pipeline::LoadOptions load;
  load.image_size = {which.image, which.image};
  CONDENSE_ASSIGN_OR_RETURN(
      graph::Graph original,
      pipeline::LoadModel(shared + "/models/" + which.model, load));
  if (which.spread) {
    CONDENSE_RETURN_IF_ERROR(which.faces ? Spread(seed, &original)
                                         : AddOutliers(seed, &original));
  }
  CONDENSE_ASSIGN_OR_RETURN(const Files files, Open(which, shared));

  CONDENSE_ASSIGN_OR_RETURN(
      const quantization::PostTrainingOptions options,
      pipeline::PostTrainingOf(parsed, resolved, 0, profile, original));
  runtime::SetThreads(1);
  graph::Graph quantized = original;
  data::Loader calibration(&files.calibrating(),
                           Loading(which, kCalibration, seed));
  const absl::Time start = absl::Now();
  const double cpu_start = CpuSeconds();
  CONDENSE_ASSIGN_OR_RETURN(
      const quantization::PostTrainingReport report,
      quantization::QuantizePostTraining(&quantized, &calibration, options));
  const Spent spent = {absl::ToDoubleSeconds(absl::Now() - start),
                       CpuSeconds() - cpu_start, PeakMib()};
  for (const quantization::Note& note : report.notes) {
    std::fprintf(stderr, "%s: %s\n", note.reason.c_str(), note.text.c_str());
  }

  runtime::SetThreads(0);
  data::Loader test(files.test.get(), Loading(which, samples, 17));
  CONDENSE_ASSIGN_OR_RETURN(const Outputs out,
                            RunBoth(original, quantized, &test));
  Print(which, quantize, profile_id, seed, out, spent);
  return absl::OkStatus();
}

// Seconds of a calibration over those of a forward pass, by observer.
absl::Status MeasureRatio(const Case& which) {
  constexpr int kRounds = 7;
  constexpr int64_t kSamples = 64;
  const std::string shared = testing::SharedDir();
  CONDENSE_ASSIGN_OR_RETURN(const v1::DeviceProfile profile,
                            profiles::LoadProfile("onnxruntime-cpu-x86-vnni"));
  pipeline::LoadOptions load;
  load.image_size = {which.image, which.image};
  CONDENSE_ASSIGN_OR_RETURN(
      graph::Graph original,
      pipeline::LoadModel(shared + "/models/" + which.model, load));
  CONDENSE_RETURN_IF_ERROR(graph::FoldBatchNorm().Run(original).status());
  CONDENSE_ASSIGN_OR_RETURN(const Files files, Open(which, shared));
  recipe::ParsedRecipe parsed;
  v1::Quantize quantize;
  quantize.set_mode(v1::Quantize::PTQ);
  v1::Recipe resolved;
  *resolved.add_stages()->mutable_quantize() = quantize;
  recipe::ResolveRecipe(&resolved);
  CONDENSE_ASSIGN_OR_RETURN(
      const quantization::Numerics numerics,
      pipeline::NumericsOf(parsed, resolved.stages(0).quantize(), 0, profile,
                           original));
  CONDENSE_ASSIGN_OR_RETURN(quantization::Placement placement,
                            quantization::PlaceQuantizers(original, numerics));
  runtime::SetThreads(1);
  CONDENSE_ASSIGN_OR_RETURN(auto plain, runtime::Executor::Create(original));
  data::Loader loader(&files.calibrating(), Loading(which, kSamples, 17));
  for (const auto& [name, kind] :
       {std::pair<const char*, quantization::ObserverKind>{
            "min_max", quantization::ObserverKind::kMinMax},
        {"mse", quantization::ObserverKind::kMse}}) {
    std::vector<double> ratios;
    for (int round = 0; round < kRounds; ++round) {
      const double start = CpuSeconds();
      CONDENSE_RETURN_IF_ERROR(
          quantization::RunOver(&loader, 0, plain.get(), nullptr));
      const double middle = CpuSeconds();
      CONDENSE_RETURN_IF_ERROR(quantization::Calibrate(
          &placement.graph, &loader, {.observer = {.kind = kind}}, nullptr));
      ratios.push_back((CpuSeconds() - middle) / (middle - start));
    }
    std::sort(ratios.begin(), ratios.end());
    std::printf(
        "{\"benchmark\":\"calibration_to_forward\",\"model\":\"%s\","
        "\"observer\":\"%s\",\"ratio\":%.3f}\n",
        which.name.c_str(), name, ratios[kRounds / 2]);
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  if (testing::SharedDir().empty()) {
    std::printf("skipped: the folder of real data and models is not here\n");
    return 77;
  }
  const Case* which = nullptr;
  for (const Case& candidate : kCases) {
    if (argc > 1 && candidate.name == argv[1]) which = &candidate;
  }
  if (which == nullptr) {
    std::fprintf(stderr, "usage: see the head of ptq_benchmark.cc\n");
    return 2;
  }
  const bool ratio = argc > 2 && std::string(argv[2]) == "ratio";
  const absl::Status status =
      ratio
          ? MeasureRatio(*which)
          : Measure(*which, argc > 2 ? argv[2] : "{mode: ptq}",
                    argc > 3 ? std::atoll(argv[3]) : 0,
                    argc > 4 ? argv[4] : "onnxruntime-cpu-x86-vnni",
                    argc > 5 ? static_cast<uint64_t>(std::atoll(argv[5])) : 17);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

}  // namespace
}  // namespace condense

int main(int argc, char** argv) { return condense::Main(argc, argv); }
