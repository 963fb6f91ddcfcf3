#include "workers/engine/data/transform.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/error.h"

namespace condense::data {
namespace {

uint8_t Luma(const uint8_t* rgb) {
  return static_cast<uint8_t>(
      std::lround(0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]));
}

// Two neighbours and the weight of the second.
struct Tap {
  int low = 0;
  int high = 0;
  double weight = 0;
};

std::vector<Tap> TapsOf(int from, int to) {
  std::vector<Tap> taps(to);
  for (int i = 0; i < to; ++i) {
    const double at = std::clamp((i + 0.5) * from / to - 0.5, 0.0, from - 1.0);
    taps[i].low = static_cast<int>(at);
    taps[i].high = std::min(taps[i].low + 1, from - 1);
    taps[i].weight = at - taps[i].low;
  }
  return taps;
}

}  // namespace

Sample ResizeBilinear(const Sample& in, int height, int width) {
  if (in.height == height && in.width == width) return in;
  Sample out = in;
  out.height = height;
  out.width = width;
  out.pixels.resize(size_t(height) * width * in.channels);
  const std::vector<Tap> rows = TapsOf(in.height, height);
  const std::vector<Tap> columns = TapsOf(in.width, width);
  auto at = [&](int y, int x, int c) {
    return double{1} * in.pixels[(size_t(y) * in.width + x) * in.channels + c];
  };
  size_t next = 0;
  for (const Tap& y : rows) {
    for (const Tap& x : columns) {
      for (int c = 0; c < in.channels; ++c) {
        const double top = at(y.low, x.low, c) * (1 - x.weight) +
                           at(y.low, x.high, c) * x.weight;
        const double bottom = at(y.high, x.low, c) * (1 - x.weight) +
                              at(y.high, x.high, c) * x.weight;
        out.pixels[next++] = static_cast<uint8_t>(
            std::lround(top * (1 - y.weight) + bottom * y.weight));
      }
    }
  }
  return out;
}

Sample ConvertColor(const Sample& in, Color color, int model_channels) {
  if (color == Color::kAsModel) {
    color = model_channels == 1   ? Color::kGray
            : model_channels == 3 ? Color::kRgb
                                  : color;
  }
  const int channels = color == Color::kGray      ? 1
                       : color == Color::kAsModel ? in.channels
                                                  : 3;
  const bool swap = color == Color::kBgr;
  if (channels == in.channels && !swap) return in;
  Sample out = in;
  out.channels = channels;
  const size_t count = size_t(in.height) * in.width;
  out.pixels.resize(count * channels);
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* from = in.pixels.data() + i * in.channels;
    uint8_t* to = out.pixels.data() + i * channels;
    if (channels == 1) {
      to[0] = Luma(from);
    } else {
      for (int c = 0; c < 3; ++c) {
        to[swap ? 2 - c : c] = from[in.channels == 1 ? 0 : c];
      }
    }
  }
  return out;
}

void Augment(const Augmentation& augmentation, Random* random, Sample* sample) {
  const int padding = augmentation.crop_padding;
  const Sample in = *sample;
  int dy = 0, dx = 0;
  bool flip = false;
  if (padding > 0) {
    dy = static_cast<int>(random->Below(2 * padding + 1)) - padding;
    dx = static_cast<int>(random->Below(2 * padding + 1)) - padding;
  }
  if (augmentation.horizontal_flip) flip = random->Below(2) == 1;
  if (dy == 0 && dx == 0 && !flip) return;
  for (int y = 0; y < in.height; ++y) {
    for (int x = 0; x < in.width; ++x) {
      const int from_y = y + dy;
      const int from_x = (flip ? in.width - 1 - x : x) + dx;
      const bool inside =
          from_y >= 0 && from_y < in.height && from_x >= 0 && from_x < in.width;
      for (int c = 0; c < in.channels; ++c) {
        sample->pixels[(size_t(y) * in.width + x) * in.channels + c] =
            inside
                ? in.pixels[(size_t(from_y) * in.width + from_x) * in.channels +
                            c]
                : 0;
      }
    }
  }
}

absl::Status Transform(const Preprocess& preprocess,
                       const std::vector<Augmentation>& augmentations,
                       Random* random, const InputShape& shape, Sample sample,
                       std::vector<float>* out, InputShape* produced) {
  if (preprocess.resize_height > 0) {
    sample = ResizeBilinear(sample, preprocess.resize_height,
                            preprocess.resize_width);
  }
  sample = ConvertColor(sample, preprocess.color, shape.channels);
  if ((shape.channels > 0 && sample.channels != shape.channels) ||
      (shape.height > 0 && sample.height != shape.height) ||
      (shape.width > 0 && sample.width != shape.width)) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "DATA_SHAPE_MISMATCH",
        absl::StrCat("a sample has ", sample.channels, " x ", sample.height,
                     " x ", sample.width,
                     " (channels, height, width), the "
                     "model takes ",
                     shape.channels, " x ", shape.height, " x ", shape.width),
        {.field = "data.preprocess",
         .hint = "set data.preprocess.resize and color in the recipe"});
  }
  if (random != nullptr) {
    for (const Augmentation& augmentation : augmentations) {
      Augment(augmentation, random, &sample);
    }
  }
  *produced = {sample.channels, sample.height, sample.width};
  const size_t plane = size_t(sample.height) * sample.width;
  out->resize(plane * sample.channels);
  for (int c = 0; c < sample.channels; ++c) {
    auto of = [&](const std::vector<double>& values) {
      return values.size() == 1
                 ? values[0]
                 : values[std::min<size_t>(c, values.size() - 1)];
    };
    const double factor = preprocess.scale / of(preprocess.std);
    const double shift = -of(preprocess.mean) / of(preprocess.std);
    for (size_t i = 0; i < plane; ++i) {
      const size_t from = i * sample.channels + c;
      const size_t to = preprocess.channels_last ? from : c * plane + i;
      (*out)[to] = static_cast<float>(sample.pixels[from] * factor + shift);
    }
  }
  return absl::OkStatus();
}

}  // namespace condense::data
