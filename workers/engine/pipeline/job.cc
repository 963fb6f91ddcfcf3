#include "workers/engine/pipeline/job.h"

#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/files.h"
#include "common/profiles/profiles.h"
#include "common/status_macros.h"
#include "workers/engine/data/file_tree.h"
#include "workers/engine/data/random.h"
#include "workers/engine/graph/passes/simplify.h"
#include "workers/engine/pipeline/contain.h"
#include "workers/engine/pipeline/load_model.h"
#include "workers/engine/pipeline/settings.h"
#include "workers/engine/pipeline/toolchain.h"
#include "workers/engine/quantization/quantizers_in_graph.h"
#include "workers/engine/runtime/executor.h"

namespace condense::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kEvalBatch = 64;
// Synthesised, where the recipe does not say how many.
constexpr int kSyntheticImages = 1024;
constexpr uint64_t kNoiseStream = 6;

// Of a file's bytes, or of all paths and bytes of a folder.
absl::StatusOr<std::string> DigestOfData(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return DigestOfFile(path);
  CONDENSE_ASSIGN_OR_RETURN(auto tree, data::FileTree::Open(path));
  Sha256 digest;
  for (const auto& [name, size] : tree->files()) {
    CONDENSE_ASSIGN_OR_RETURN(const std::string bytes, tree->Read(name));
    digest.Update(absl::StrCat(name, "\n", bytes.size(), "\n"));
    digest.Update(bytes);
  }
  return digest.Finish();
}

bool IsIntegerOperator(const graph::Node& node) {
  return node.Is("QuantizeLinear") || node.Is("DequantizeLinear") ||
         node.Is("DynamicQuantizeLinear") || node.Is("QLinearConv") ||
         node.Is("QLinearMatMul") || node.Is("ConvInteger") ||
         node.Is("MatMulInteger");
}

// The stage whose qat_data is synthetic, or -1.
int SyntheticStage(const v1::Recipe& recipe) {
  for (int i = 0; i < recipe.stages_size(); ++i) {
    if (recipe.stages(i).quantize().qat_data() == v1::Quantize::SYNTHETIC) {
      return i;
    }
  }
  return -1;
}

// A dimension of the input; 0 if the model takes any.
int SizeOf(const graph::Dim& dim) {
  return dim.known() ? static_cast<int>(dim.value) : 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Job>> Job::Load(const std::string& job_dir) {
  auto job = absl::WrapUnique(new Job());
  job->dir_ = fs::absolute(job_dir).lexically_normal().string();
  CONDENSE_ASSIGN_OR_RETURN(recipe::LoadedJobFile loaded,
                            recipe::LoadJobFile(job->dir_));
  job->file_ = loaded.file;
  CONDENSE_ASSIGN_OR_RETURN(job->parsed_,
                            recipe::ParseRecipe(loaded.recipe_text));
  job->resolved_ = job->parsed_.recipe;
  const std::map<std::string, std::string> gates(job->file_.gates().begin(),
                                                 job->file_.gates().end());
  if (!gates.empty()) {
    CONDENSE_RETURN_IF_ERROR(
        recipe::ApplyGateOverrides(gates, &job->resolved_));
  }
  recipe::ResolveRecipe(&job->resolved_);
  for (const std::string& id : job->file_.profiles()) {
    CONDENSE_ASSIGN_OR_RETURN(v1::DeviceProfile profile,
                              profiles::LoadProfile(id));
    job->profiles_.push_back(std::move(profile));
  }
  return job;
}

absl::Status Job::Open(const RankPlan& ranks) {
  ranks_ = ranks;
  const std::vector<std::string> devices = DevicesOf(file_.device());
  const std::string own =
      devices.empty() ? "cpu" : devices[devices.size() == 1 ? 0 : ranks.rank];
  CONDENSE_ASSIGN_OR_RETURN(device_, runtime::ResolveDevice(own));
  LimitMemory(device_);
  CONDENSE_RETURN_IF_ERROR(ReadModels());
  CONDENSE_RETURN_IF_ERROR(ReadData());
  CONDENSE_RETURN_IF_ERROR(DescribeInput());
  CONDENSE_RETURN_IF_ERROR(MakeSynthetic());
  MakeFingerprint();
  return absl::OkStatus();
}

// A TorchScript model does not say how large its images are; the recipe may.
LoadOptions Job::InputOptions() const {
  LoadOptions options;
  const auto& resize = resolved_.data().preprocess().resize();
  options.image_size.assign(resize.begin(), resize.end());
  options.lift_quantizers = true;
  return options;
}

absl::Status Job::ReadModels() {
  CONDENSE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(file_.model()));
  model_bytes_ = static_cast<int64_t>(bytes.size());
  model_digest_ = DigestOf(bytes);
  CONDENSE_ASSIGN_OR_RETURN(model_, LoadModel(file_.model(), InputOptions()));
  CONDENSE_RETURN_IF_ERROR(SettleQuantizers());
  if (resolved_.teacher().source().empty()) return absl::OkStatus();
  if (file_.teacher().empty()) {
    return recipe::ErrorAt(parsed_, "teacher.source",
                           absl::StatusCode::kInvalidArgument, "DATA_MISSING",
                           "the recipe names a teacher file, the job has none",
                           {.hint = "give it with --teacher"});
  }
  CONDENSE_ASSIGN_OR_RETURN(teacher_,
                            LoadModel(file_.teacher(), InputOptions()));
  return absl::OkStatus();
}

// A quantize stage works on the float values of the file and places quantizers
// anew; without one they stay, and training goes through them.
absl::Status Job::SettleQuantizers() {
  for (graph::NodeId id : model_.order()) {
    const graph::Node& node = model_.node(id);
    if (!IsIntegerOperator(node)) continue;
    return MakeError(
        absl::StatusCode::kUnimplemented, "UNSUPPORTED_QUANTIZATION",
        absl::StrCat(
            "the model is quantized in a way that cannot be trained: ", node.op,
            " with a computed scale, blocks, or levels that "
            "other nodes read"),
        {.hint = "give the float model", .node = node.name});
  }
  if (!quantization::HasQuantizers(model_)) return absl::OkStatus();
  int prune = -1;
  for (int i = 0; i < resolved_.stages_size(); ++i) {
    requantizes_ |= resolved_.stages(i).has_quantize();
    if (resolved_.stages(i).has_prune()) prune = i;
  }
  if (requantizes_) {
    model_ = quantization::WithoutQuantizers(model_);
    return graph::Simplify(model_);
  }
  if (prune < 0) return absl::OkStatus();
  return recipe::ErrorAt(
      parsed_, absl::StrCat("stages[", prune, "].prune"),
      absl::StatusCode::kInvalidArgument, "ALREADY_QUANTIZED",
      "the model comes quantized; pruning needs float weights",
      {.hint =
           "add a quantize stage, which places the quantizers anew, or give "
           "the float model"});
}

absl::Status Job::ReadData() {
  const v1::DataConfig& uses = resolved_.data();
  std::set<std::string> classes;
  for (const auto& [name, path] : file_.data()) {
    const bool only_evaluated = name == uses.eval().source() &&
                                name != uses.train().source() &&
                                name != uses.calibration().source();
    CONDENSE_ASSIGN_OR_RETURN(
        data_[name],
        data::OpenDataset(
            path, only_evaluated ? data::Part::kTest : data::Part::kTrain));
    CONDENSE_ASSIGN_OR_RETURN(data_digests_[name], DigestOfData(path));
    const auto& names = data_[name]->class_names();
    classes.insert(names.begin(), names.end());
  }
  // A set that lacks a class does not shift the labels of the others.
  const std::vector<std::string> names(classes.begin(), classes.end());
  for (auto& [name, dataset] : data_) dataset->AlignClasses(names);
  return absl::OkStatus();
}

absl::Status Job::DescribeInput() {
  if (model_.inputs().empty() || model_.outputs().empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_GRAPH",
                     "the model has no input or no output");
  }
  const auto& output = model_.value(model_.outputs()[0]).shape;
  if (output && output->size() == 2) num_classes_ = SizeOf((*output)[1]);
  const graph::Value& input = model_.value(model_.inputs()[0]);
  if (data_.empty() && SyntheticStage(resolved_) < 0) return absl::OkStatus();
  if (model_.inputs().size() != 1 || !input.shape || input.shape->size() != 4) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "DATA_SHAPE_MISMATCH",
        absl::StrCat("images need a model with one input of four axes; '",
                     input.name, "' is ", graph::ShapeText(input.shape),
                     " and there are ", model_.inputs().size(), " inputs"));
  }
  const graph::Shape& shape = *input.shape;
  const bool last =
      resolved_.data().preprocess().layout() == v1::Preprocess::NHWC;
  input_shape_.channels = SizeOf(shape[last ? 3 : 1]);
  input_shape_.height = SizeOf(shape[last ? 1 : 2]);
  input_shape_.width = SizeOf(shape[last ? 2 : 3]);
  return absl::OkStatus();
}

// Of the model's own size, or that which the recipe brings images to.
absl::Status Job::MakeSynthetic() {
  const int stage = SyntheticStage(resolved_);
  if (stage < 0) return absl::OkStatus();
  const v1::Preprocess& preprocess = resolved_.data().preprocess();
  const auto& size =
      preprocess.crop().empty() ? preprocess.resize() : preprocess.crop();
  data::InputShape shape = input_shape_;
  if (shape.height == 0 && !size.empty()) shape.height = size[0];
  if (shape.width == 0 && !size.empty()) shape.width = size[1];
  if (shape.channels == 0 || shape.height == 0 || shape.width == 0) {
    return recipe::ErrorAt(
        parsed_, absl::StrCat("stages[", stage, "].quantize.qat_data"),
        absl::StatusCode::kInvalidArgument, "IMAGE_SIZE_UNKNOWN",
        "the model does not say how large the images are that would be made",
        {.hint = "set data.preprocess.resize"});
  }
  const int64_t samples = resolved_.data().train().samples();
  const int64_t images = samples > 0 ? samples : kSyntheticImages;
  std::string noise(
      size_t(images) * shape.channels * shape.height * shape.width, '\0');
  data::Random random(static_cast<uint64_t>(resolved_.seed()), kNoiseStream);
  for (char& value : noise) value = static_cast<char>(random.Below(256));
  synthetic_ = std::make_unique<data::PackedImages>(
      data::Sample{shape.height, shape.width, shape.channels}, std::move(noise),
      std::vector<float>(), std::vector<int64_t>(images, data::kNoLabel));
  return absl::OkStatus();
}

void Job::MakeFingerprint() {
  fingerprint_["model"] = model_digest_;
  if (teacher_.has_value()) {
    fingerprint_["teacher"] = DigestOfFile(file_.teacher()).value_or("");
  }
  fingerprint_["recipe"] = DigestOf(recipe::RecipeToYaml(resolved_));
  for (const auto& [name, digest] : data_digests_) {
    fingerprint_[absl::StrCat("data '", name, "'")] = digest;
  }
  for (const v1::DeviceProfile& profile : profiles_) {
    fingerprint_["profile " + profile.id()] =
        DigestOf(profile.SerializeAsString());
  }
  for (const auto& [name, version] : Toolchain()) fingerprint_[name] = version;
  // The kind of device, whichever of that kind it is.
  fingerprint_["device"] = device_.substr(0, device_.find(':'));
  fingerprint_["threads"] = absl::StrCat(file_.threads());
  fingerprint_["ranks"] = absl::StrCat(ranks_.size);
}

const data::Dataset* Job::Data(const std::string& source) const {
  const auto it = data_.find(source);
  return it == data_.end() ? nullptr : it->second.get();
}

bool Job::HasLabels(const std::string& source) const {
  const data::Dataset* dataset = Data(source);
  return dataset != nullptr && dataset->num_classes() > 0;
}

std::optional<int> Job::color_bits() const {
  const int bits = resolved_.data().preprocess().color_bits();
  return bits < 8 ? std::optional<int>(bits) : std::nullopt;
}

bool Job::Classifies() const {
  return resolved_.task() == v1::Recipe::CLASSIFICATION && num_classes_ > 0;
}

bool Job::trains_without_labels() const {
  if (verifies()) return true;
  bool without = false;
  for (const v1::Stage& stage : resolved_.stages()) {
    if (stage.has_finetune()) return false;
    without |= stage.quantize().qat_data() == v1::Quantize::UNLABELED ||
               stage.quantize().qat_data() == v1::Quantize::SYNTHETIC;
  }
  return without;
}

data::LoaderOptions Job::LoaderOptionsOf(const v1::DataSource& source,
                                         int64_t batch_size,
                                         bool training) const {
  data::LoaderOptions options;
  options.batch_size = batch_size;
  options.samples = source.samples();
  options.seed = static_cast<uint64_t>(resolved_.seed());
  options.preprocess = PreprocessOf(resolved_.data().preprocess());
  options.shape = input_shape_;
  const bool evaluates = source.source() == resolved_.data().eval().source();
  if (!verifies() && (evaluates || !trains_without_labels())) {
    options.num_classes = num_classes_;
  }
  options.max_corrupt = source.max_corrupt();
  options.on_corrupt = [this, name = source.source()](const std::string& what) {
    corrupt_[name].insert(what);
  };
  options.threads = data::DefaultThreads();
  if (training) {
    options.training = true;
    options.shard = ranks_.rank;
    options.shards = ranks_.size;
    options.augmentations = AugmentationsOf(source);
    options.mixup_alpha = MixupAlphaOf(source);
  }
  return options;
}

std::unique_ptr<data::Loader> Job::LoaderOf(const v1::DataSource& source,
                                            int64_t batch_size,
                                            bool training) const {
  const data::Dataset* dataset = Data(source.source());
  if (dataset == nullptr) return nullptr;
  return std::make_unique<data::Loader>(
      dataset, LoaderOptionsOf(source, batch_size, training));
}

// They are what the model takes already.
std::unique_ptr<data::Loader> Job::SyntheticLoaderOf(
    const v1::DataSource& source, int64_t batch_size, bool training) const {
  data::LoaderOptions options = LoaderOptionsOf(source, batch_size, training);
  options.num_classes = 0;
  options.preprocess.resize_height = options.preprocess.resize_width = 0;
  options.preprocess.crop_height = options.preprocess.crop_width = 0;
  options.preprocess.color = data::Color::kAsModel;
  return std::make_unique<data::Loader>(synthetic_.get(), options);
}

std::unique_ptr<data::Loader> Job::TrainLoader(int64_t batch_size) const {
  return LoaderOf(resolved_.data().train(), batch_size, true);
}
std::unique_ptr<data::Loader> Job::SyntheticLoader(int64_t batch_size) const {
  return SyntheticLoaderOf(resolved_.data().train(), batch_size, true);
}
std::unique_ptr<data::Loader> Job::EvalLoader() const {
  const std::string& source = resolved_.data().eval().source();
  const bool pairs =
      verifies() && Data(source) != nullptr && !Data(source)->pairs().empty();
  if (!pairs && !HasLabels(source)) return nullptr;
  return LoaderOf(resolved_.data().eval(), kEvalBatch, false);
}
std::unique_ptr<data::Loader> Job::CalibrationLoader() const {
  const v1::DataSource& source = resolved_.data().calibration();
  if (Data(source.source()) == nullptr && synthetic_ != nullptr) {
    return SyntheticLoaderOf(source, kEvalBatch, false);
  }
  return LoaderOf(source, kEvalBatch, false);
}

}  // namespace condense::pipeline
