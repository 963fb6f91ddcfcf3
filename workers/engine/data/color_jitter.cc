#include "workers/engine/data/color_jitter.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace condense::data {
namespace {

uint8_t Rounded(double value) {
  return static_cast<uint8_t>(std::clamp(value, 0.0, 255.0) + 0.5);
}

// factor * pixel + (1 - factor) * from, for every pixel.
void Blend(double factor, double from, Sample* sample) {
  std::array<uint8_t, 256> table;
  for (int i = 0; i < 256; ++i) {
    table[i] = Rounded(factor * i + (1 - factor) * from);
  }
  for (uint8_t& pixel : sample->pixels) pixel = table[pixel];
}

void TurnHue(double sixths, uint8_t* rgb) {
  const int most = std::max({rgb[0], rgb[1], rgb[2]});
  const int least = std::min({rgb[0], rgb[1], rgb[2]});
  const double chroma = most - least;
  if (chroma == 0) return;
  double hue = most == rgb[0]   ? (rgb[1] - rgb[2]) / chroma
               : most == rgb[1] ? 2 + (rgb[2] - rgb[0]) / chroma
                                : 4 + (rgb[0] - rgb[1]) / chroma;
  hue += sixths;
  hue -= 6 * std::floor(hue / 6);
  const int sector = std::min(5, static_cast<int>(hue));
  const double part = hue - sector;
  const auto top = static_cast<uint8_t>(most);
  const auto low = static_cast<uint8_t>(least);
  const uint8_t falling = Rounded(most - chroma * part);
  const uint8_t rising = Rounded(most - chroma * (1 - part));
  const uint8_t sectors[6][3] = {{top, rising, low}, {falling, top, low},
                                 {low, top, rising}, {low, falling, top},
                                 {rising, low, top}, {top, low, falling}};
  std::copy(sectors[sector], sectors[sector] + 3, rgb);
}

}  // namespace

void AdjustBrightness(double factor, Sample* sample) {
  Blend(factor, 0, sample);
}

void AdjustContrast(double factor, Sample* sample) {
  if (sample->pixels.empty()) return;
  const int step = sample->channels;
  int64_t sum = 0;
  for (size_t i = 0; i < sample->pixels.size(); i += step) {
    sum += step == 3 ? Luma(&sample->pixels[i]) : sample->pixels[i];
  }
  const auto count = static_cast<int64_t>(sample->pixels.size()) / step;
  Blend(factor, static_cast<double>((2 * sum + count) / (2 * count)), sample);
}

void AdjustSaturation(double factor, Sample* sample) {
  if (sample->channels != 3) return;
  for (size_t i = 0; i < sample->pixels.size(); i += 3) {
    uint8_t* rgb = &sample->pixels[i];
    const double from = (1 - factor) * Luma(rgb);
    for (int c = 0; c < 3; ++c) rgb[c] = Rounded(factor * rgb[c] + from);
  }
}

void AdjustHue(double turn, Sample* sample) {
  if (sample->channels != 3) return;
  for (size_t i = 0; i < sample->pixels.size(); i += 3) {
    TurnHue(6 * turn, &sample->pixels[i]);
  }
}

void Jitter(const ColorJitter& jitter, Random* random, Sample* sample) {
  std::vector<int> order = {0, 1, 2, 3};
  random->Shuffle(&order);
  const auto factor = [&](double reach) {
    return random->Uniform(std::max(0.0, 1 - reach), 1 + reach);
  };
  for (int step : order) {
    if (step == 0 && jitter.brightness > 0) {
      AdjustBrightness(factor(jitter.brightness), sample);
    } else if (step == 1 && jitter.contrast > 0) {
      AdjustContrast(factor(jitter.contrast), sample);
    } else if (step == 2 && jitter.saturation > 0) {
      AdjustSaturation(factor(jitter.saturation), sample);
    } else if (step == 3 && jitter.hue > 0) {
      AdjustHue(random->Uniform(-jitter.hue, jitter.hue), sample);
    }
  }
}

}  // namespace condense::data
