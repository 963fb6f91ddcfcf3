// Trains ResNet-20 on the JPEG files of CIFAR-10 with all cores while the
// loader's threads decode and augment, and prints which share of the time the
// training waited for data.
//
// Usage: data_wait_benchmark [STEPS] [BATCH] [LOADER_THREADS]. 77: the shared
// folder is not there.

#include <cstdio>
#include <cstdlib>

#include "tests/testing/shared_dir.h"
#include "workers/engine/data/loader.h"
#include "workers/engine/pipeline/load_model.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/training/trainer.h"

namespace condense {
namespace {

int Main(int argc, char** argv) {
  const int64_t steps = argc > 1 ? std::atoi(argv[1]) : 60;
  data::LoaderOptions options;
  options.batch_size = argc > 2 ? std::atoi(argv[2]) : 64;
  options.threads = argc > 3 ? std::atoi(argv[3]) : data::DefaultThreads();
  options.training = true;
  options.preprocess.scale = 1 / 255.0;
  options.preprocess.mean = {0.485, 0.456, 0.406};
  options.preprocess.std = {0.229, 0.224, 0.225};
  options.augmentations = {data::RandomCrop{4}, data::HorizontalFlip{}};
  const std::string shared = testing::SharedDir();
  if (shared.empty()) return 77;
  const auto dataset =
      data::OpenDataset(shared + "/data/cifar10-jpg/cifar10_train_jpg.tar.xz");
  const auto graph = pipeline::LoadModel(
      shared + "/models/derived_resnet20_cifar10_op13.onnx");
  if (!dataset.ok() || !graph.ok()) return 77;
  runtime::SetThreads(0);
  auto model = runtime::Executor::Create(*graph);
  if (!model.ok()) return 1;
  data::Loader loader(dataset->get(), options);
  training::Trainer trainer(model->get(), &loader, training::CrossEntropyLoss,
                            {.optimizer = {.lr = 0.001}});
  double busy = 0, waited = 0;
  const auto done = trainer.Run([&](const training::StepInfo& info) {
    // The first steps start threads and fill the ring.
    if (info.next.step > 5) {
      busy += info.seconds;
      waited += info.data_wait_seconds;
    }
    return info.next.step < steps ? training::Next::kGoOn
                                  : training::Next::kStop;
  });
  if (!done.ok()) {
    std::fprintf(stderr, "%s\n", done.status().ToString().c_str());
    return 1;
  }
  std::printf(
      "{\"benchmark\":\"data_wait_resnet20\",\"batch\":%d,\"steps\":%d,"
      "\"loader_threads\":%d,\"step_ms\":%.2f,\"wait_ms\":%.3f,"
      "\"wait_share\":%.4f}\n",
      static_cast<int>(options.batch_size), static_cast<int>(steps - 5),
      options.threads, 1e3 * busy / (steps - 5), 1e3 * waited / (steps - 5),
      waited / (busy + waited));
  return 0;
}

}  // namespace
}  // namespace condense

int main(int argc, char** argv) { return condense::Main(argc, argv); }
