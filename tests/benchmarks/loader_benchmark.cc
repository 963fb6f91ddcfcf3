// Decodes and augments the JPEG files of the CIFAR-10 test set with a loader of
// one thread, and decodes the same files in a plain libjpeg-turbo loop, in
// turn, and prints the ratio of images per second of processor time (which
// includes the thread that takes the batches).
//
// Usage: loader_benchmark [ROUNDS] [FOLDER]; FOLDER: class folders of JPEG
// files, default: those of the shared folder. 77: there are none.

#include <time.h>

#include <algorithm>
#include <cstdio>
// After <cstdio>, which it needs.
#include <jpeglib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/testing/shared_dir.h"
#include "tests/testing/temp_dir.h"
#include "workers/engine/data/file_tree.h"
#include "workers/engine/data/loader.h"

namespace condense {
namespace {

double ProcessorSeconds() {
  timespec now = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * now.tv_nsec;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// As one would write it: a decoder that is kept, files by stdio, one row after
// the other.
void DecodeAll(const std::vector<std::string>& files) {
  jpeg_decompress_struct info = {};
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&info);
  std::vector<unsigned char> pixels;
  for (const std::string& path : files) {
    std::FILE* file = std::fopen(path.c_str(), "rb");
    jpeg_stdio_src(&info, file);
    jpeg_read_header(&info, TRUE);
    jpeg_start_decompress(&info);
    const size_t stride = size_t{info.output_width} * info.output_components;
    pixels.resize(stride * info.output_height);
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = pixels.data() + stride * info.output_scanline;
      jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    std::fclose(file);
  }
  jpeg_destroy_decompress(&info);
}

data::LoaderOptions Options(bool augment) {
  data::LoaderOptions options;
  options.training = true;
  options.preprocess.scale = 1 / 255.0;
  options.preprocess.mean = {0.4914, 0.4822, 0.4465};
  options.preprocess.std = {0.2470, 0.2435, 0.2616};
  if (augment) {
    options.augmentations = {data::RandomCrop{4}, data::HorizontalFlip{}};
  }
  return options;
}

void LoadAll(data::Loader* loader, int epoch) {
  loader->Seek(epoch, 0);
  for (;;) {
    const auto batch = loader->Next();
    if (!batch.ok()) std::abort();
    if (!batch->has_value()) return;
  }
}

// The archive's files in a folder.
std::string Unpack(const std::string& archive, const std::string& folder) {
  const auto tree = data::FileTree::Open(archive);
  if (!tree.ok()) return "";
  for (const auto& [name, size] : (*tree)->files()) {
    const auto path = std::filesystem::path(folder) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << *(*tree)->Read(name);
  }
  return folder;
}

int Main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 7;
  TempDir dir;
  std::string folder = argc > 2 ? argv[2] : "";
  const std::string shared = testing::SharedDir();
  if (folder.empty() && !shared.empty()) {
    folder = Unpack(shared + "/data/cifar10-jpg/cifar10_test_jpg.tar.xz",
                    dir.path());
  }
  if (folder.empty()) return 77;
  const auto dataset = data::OpenDataset(folder);
  const auto tree = data::FileTree::Open(folder);
  if (!dataset.ok() || !tree.ok()) return 77;
  std::vector<std::string> files;
  for (const auto& [name, size] : (*tree)->files()) {
    files.push_back(folder + "/" + name);
  }
  data::Loader augmenting(dataset->get(), Options(true));
  data::Loader decoding(dataset->get(), Options(false));
  std::vector<double> plain, augmented, decoded, ratios;
  for (int round = 0; round <= rounds; ++round) {
    double at = ProcessorSeconds();
    const auto lap = [&at] {
      const double before = at;
      at = ProcessorSeconds();
      return at - before;
    };
    DecodeAll(files);
    const double by_hand = lap();
    LoadAll(&augmenting, round);
    const double ours = lap();
    LoadAll(&decoding, round);
    const double without = lap();
    // The first one fills the caches.
    if (round == 0) continue;
    plain.push_back(by_hand);
    augmented.push_back(ours);
    decoded.push_back(without);
    ratios.push_back(by_hand / ours);
  }
  const double images = static_cast<double>(files.size());
  std::printf(
      "{\"benchmark\":\"loader_jpeg\",\"images\":%zu,\"rounds\":%d,"
      "\"plain_images_per_second\":%.0f,\"loader_images_per_second\":%.0f,"
      "\"without_augmentation_images_per_second\":%.0f,"
      "\"median_of_ratios\":%.3f}\n",
      files.size(), rounds, images / Median(plain), images / Median(augmented),
      images / Median(decoded), Median(ratios));
  return 0;
}

}  // namespace
}  // namespace condense

int main(int argc, char** argv) { return condense::Main(argc, argv); }
