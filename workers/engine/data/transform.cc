#include "workers/engine/data/transform.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"

namespace condense::data {
namespace {

template <typename T>
std::vector<T> Converted(const std::vector<T>& in, int from_channels,
                         int to_channels, bool swap) {
  const size_t count = in.size() / from_channels;
  std::vector<T> out(count * to_channels);
  for (size_t i = 0; i < count; ++i) {
    const T* from = in.data() + i * from_channels;
    T* to = out.data() + i * to_channels;
    if (to_channels == 1) {
      if constexpr (std::is_same_v<T, uint8_t>) {
        to[0] = Luma(from);
      } else {
        to[0] = 0.299f * from[0] + 0.587f * from[1] + 0.114f * from[2];
      }
      continue;
    }
    for (int c = 0; c < 3; ++c) {
      to[swap ? 2 - c : c] = from[from_channels == 1 ? 0 : c];
    }
  }
  return out;
}

absl::Status CheckShape(const Sample& sample, const InputShape& shape) {
  if ((shape.channels == 0 || sample.channels == shape.channels) &&
      (shape.height == 0 || sample.height == shape.height) &&
      (shape.width == 0 || sample.width == shape.width)) {
    return absl::OkStatus();
  }
  return MakeError(
      absl::StatusCode::kInvalidArgument, "DATA_SHAPE_MISMATCH",
      absl::StrCat("a sample has ", sample.channels, " x ", sample.height,
                   " x ", sample.width,
                   " (channels, height, width), the model takes ",
                   shape.channels, " x ", shape.height, " x ", shape.width),
      {.field = "data.preprocess",
       .hint = "set data.preprocess.resize and color in the recipe"});
}

// The value that normalises to 0: what an erased pixel becomes.
std::vector<double> MeanColor(const Preprocess& preprocess,
                              const Sample& sample) {
  std::vector<double> fill;
  for (int c = 0; c < sample.channels; ++c) {
    const size_t at = std::min<size_t>(c, preprocess.mean.size() - 1);
    const double value = preprocess.mean[at] / preprocess.scale;
    fill.push_back(sample.values.empty()
                       ? std::round(std::clamp(value, 0.0, 255.0))
                       : value);
  }
  return fill;
}

// Brings a sample to its size.
absl::StatusOr<Sample> Resized(const Preprocess& preprocess,
                               const RandomResizedCrop* part, Random* random,
                               const InputShape& shape, Sample sample) {
  const auto first = [](std::initializer_list<int> sizes) {
    return *std::find_if(sizes.begin(), sizes.end(),
                         [](int size) { return size > 0; });
  };
  if (part != nullptr) {
    const int height = first({preprocess.crop_height, preprocess.resize_height,
                              shape.height, sample.height});
    const int width = first({preprocess.crop_width, preprocess.resize_width,
                             shape.width, sample.width});
    const Region region = DrawRegion(*part, sample, random);
    return ResizeBilinear(CropTo(sample, region), height, width,
                          preprocess.antialias);
  }
  if (preprocess.resize_height > 0) {
    sample = ResizeBilinear(std::move(sample), preprocess.resize_height,
                            preprocess.resize_width, preprocess.antialias);
  }
  if (preprocess.crop_height == 0) return sample;
  if (preprocess.crop_height > sample.height ||
      preprocess.crop_width > sample.width) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "DATA_SHAPE_MISMATCH",
        absl::StrCat("a sample of ", sample.height, " x ", sample.width,
                     " pixels cannot be cropped to ", preprocess.crop_height,
                     " x ", preprocess.crop_width),
        {.field = "data.preprocess.crop",
         .hint = "set data.preprocess.resize to at least as much"});
  }
  return CropTo(
      sample, CenterOf(sample, preprocess.crop_height, preprocess.crop_width));
}

absl::Status FloatImages(const std::string& key, const std::string& field) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, "FLOAT_IMAGES",
      absl::StrCat(key, " takes images of 8-bit pixels, not floats"),
      {.field = field});
}

}  // namespace

uint8_t ReduceColor(uint8_t pixel, int bits) {
  const int steps = (1 << bits) - 1;
  const int level = (2 * pixel * steps + 255) / 510;
  return static_cast<uint8_t>((510 * level + steps) / (2 * steps));
}

Sample ConvertColor(Sample in, Color color, int model_channels) {
  if (color == Color::kAsModel) {
    color = model_channels == 1   ? Color::kGray
            : model_channels == 3 ? Color::kRgb
                                  : color;
  }
  const int channels = color == Color::kGray      ? 1
                       : color == Color::kAsModel ? in.channels
                                                  : 3;
  const bool swap = color == Color::kBgr;
  const bool known = in.channels == 1 || in.channels == 3;
  if (!known || (channels == in.channels && !swap)) return in;
  Sample out;
  out.height = in.height;
  out.width = in.width;
  out.channels = channels;
  out.label = in.label;
  if (in.values.empty()) {
    out.pixels = Converted(in.pixels, in.channels, channels, swap);
  } else {
    out.values = Converted(in.values, in.channels, channels, swap);
  }
  return out;
}

absl::StatusOr<Sample> Prepare(const Preprocess& preprocess,
                               const std::vector<Augmentation>& augmentations,
                               Random* random, const InputShape& shape,
                               Sample sample) {
  const auto* part =
      random == nullptr || augmentations.empty()
          ? nullptr
          : std::get_if<RandomResizedCrop>(&augmentations.front());
  CONDENSE_ASSIGN_OR_RETURN(
      sample, Resized(preprocess, part, random, shape, std::move(sample)));
  sample = ConvertColor(std::move(sample), preprocess.color, shape.channels);
  CONDENSE_RETURN_IF_ERROR(CheckShape(sample, shape));
  if (preprocess.color_bits < 8 && !sample.values.empty()) {
    return FloatImages("color_bits", "data.preprocess.color_bits");
  }
  if (random == nullptr) return sample;
  std::vector<double> fill;
  for (const Augmentation& augmentation : augmentations) {
    if (std::holds_alternative<Cutout>(augmentation)) {
      fill = MeanColor(preprocess, sample);
    }
    if (!sample.values.empty() &&
        std::holds_alternative<ColorJitter>(augmentation)) {
      return FloatImages("color_jitter", "data.train.augment");
    }
    Augment(augmentation, fill, random, &sample);
  }
  return sample;
}

Normalizer::Normalizer(const Preprocess& preprocess)
    : channels_last_(preprocess.channels_last),
      channels_(std::max(preprocess.mean.size(), preprocess.std.size())) {
  for (size_t c = 0; c < channels_.size(); ++c) {
    const auto of = [c](const std::vector<double>& values) {
      return values[std::min(c, values.size() - 1)];
    };
    Channel& channel = channels_[c];
    channel.factor = preprocess.scale / of(preprocess.std);
    channel.shift = -of(preprocess.mean) / of(preprocess.std);
    for (int i = 0; i < 256; ++i) {
      const int pixel =
          ReduceColor(static_cast<uint8_t>(i), preprocess.color_bits);
      channel.table[i] =
          static_cast<float>(pixel * channel.factor + channel.shift);
    }
  }
}

const Normalizer::Channel& Normalizer::channel(int index) const {
  return channels_[std::min<size_t>(index, channels_.size() - 1)];
}

// The most usual case, in one pass over the pixels.
void Normalizer::WriteRgbPlanes(const Sample& sample, float* out) const {
  const size_t plane = size_t(sample.height) * sample.width;
  const uint8_t* from = sample.pixels.data();
  const float* red = channel(0).table.data();
  const float* green = channel(1).table.data();
  const float* blue = channel(2).table.data();
  for (size_t i = 0; i < plane; ++i, from += 3) {
    out[i] = red[from[0]];
    out[plane + i] = green[from[1]];
    out[2 * plane + i] = blue[from[2]];
  }
}

void Normalizer::Write(const Sample& sample, float* out) const {
  if (sample.channels == 3 && !channels_last_ && sample.values.empty()) {
    WriteRgbPlanes(sample, out);
    return;
  }
  const int channels = sample.channels;
  const size_t plane = size_t(sample.height) * sample.width;
  for (int c = 0; c < channels; ++c) {
    const Channel& how = channel(c);
    float* to = channels_last_ ? out + c : out + c * plane;
    const size_t step = channels_last_ ? channels : 1;
    if (sample.values.empty()) {
      const uint8_t* from = sample.pixels.data() + c;
      for (size_t i = 0; i < plane; ++i) {
        to[i * step] = how.table[from[i * channels]];
      }
    } else {
      const float* from = sample.values.data() + c;
      for (size_t i = 0; i < plane; ++i) {
        to[i * step] =
            static_cast<float>(from[i * channels] * how.factor + how.shift);
      }
    }
  }
}

}  // namespace condense::data
