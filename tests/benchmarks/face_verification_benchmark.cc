// Embeds the ORL faces of the shared folder with MobileFaceNet and prints the
// figures of the verification protocol over all pairs.
//
// Usage: face_verification_benchmark [MODEL]. 77: the shared folder is not
// there.

#include <cstdio>

#include "tests/testing/shared_dir.h"
#include "workers/engine/data/loader.h"
#include "workers/engine/evaluation/embedded_samples.h"
#include "workers/engine/pipeline/load_model.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/training/evaluate.h"

namespace condense {
namespace {

data::LoaderOptions Options() {
  data::LoaderOptions options;
  options.preprocess.resize_height = options.preprocess.resize_width = 112;
  options.preprocess.scale = 1 / 255.0;
  options.preprocess.mean = {0.485, 0.456, 0.406};
  options.preprocess.std = {0.229, 0.224, 0.225};
  options.shape = {3, 112, 112};
  return options;
}

int Main(int argc, char** argv) {
  const std::string shared = testing::SharedDir();
  if (shared.empty()) return 77;
  const auto dataset =
      data::OpenDataset(shared + "/data/orl_faces/orl_faces_s1-s20.tar.xz");
  const auto graph = pipeline::LoadModel(
      argc > 1 ? argv[1] : shared + "/models/mobilefacenet_op18.onnx");
  if (!dataset.ok() || !graph.ok()) return 77;
  auto model = runtime::Executor::Create(*graph);
  if (!model.ok()) return 1;
  data::Loader loader(dataset->get(), Options());
  evaluation::EmbeddedSamples faces;
  const absl::Status status = training::RunEpoch(
      model->get(), &loader, [&](const auto& batch, const auto& outputs) {
        const torch::Tensor rows = outputs[0].flatten(1).contiguous();
        for (int64_t i = 0; i < batch.count; ++i) {
          faces.Add(batch.indices[i], rows.data_ptr<float>() + i * rows.size(1),
                    rows.size(1));
        }
        return absl::OkStatus();
      });
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  const auto figures = evaluation::MeasureVerification(faces, **dataset, 17);
  std::printf(
      "{\"benchmark\":\"face_verification\",\"images\":%d,\"pairs\":%d,"
      "\"eer\":%.4f,\"tar_at_far_1e-3\":%.4f,\"accuracy\":%.4f,"
      "\"rank1\":%.4f}\n",
      static_cast<int>(faces.embeddings.count),
      static_cast<int>(figures.pairs.same + figures.pairs.different),
      *figures.eer, *figures.tar_at_far_1e3, *figures.accuracy, *figures.rank1);
  return 0;
}

}  // namespace
}  // namespace condense

int main(int argc, char** argv) { return condense::Main(argc, argv); }
