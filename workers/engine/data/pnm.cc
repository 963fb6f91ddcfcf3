#include "workers/engine/data/pnm.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "workers/engine/data/data_error.h"

namespace condense::data {
namespace {

constexpr int kSideMax = 16384;
constexpr int kValueMax = 65535;

absl::Status Corrupt(absl::string_view why) {
  return DataError("CORRUPT_IMAGE", "not a readable image", why);
}

// The next number of the header from `at` on, after spaces and comments; -1 if
// there is none up to `most`.
int Number(const std::string& bytes, size_t* at, int most) {
  while (*at < bytes.size() &&
         (absl::ascii_isspace(bytes[*at]) || bytes[*at] == '#')) {
    if (bytes[*at] == '#') {
      *at = std::min(bytes.find('\n', *at), bytes.size() - 1);
    }
    ++*at;
  }
  if (*at >= bytes.size() || !absl::ascii_isdigit(bytes[*at])) return -1;
  int value = 0;
  while (*at < bytes.size() && absl::ascii_isdigit(bytes[*at])) {
    value = value * 10 + (bytes[(*at)++] - '0');
    if (value > most) return -1;
  }
  return value;
}

}  // namespace

bool IsPnm(const std::string& bytes) {
  return absl::StartsWith(bytes, "P5") || absl::StartsWith(bytes, "P6");
}

absl::StatusOr<Sample> DecodePnm(const std::string& bytes) {
  Sample sample;
  sample.channels = bytes[1] == '6' ? 3 : 1;
  size_t at = 2;
  sample.width = Number(bytes, &at, kSideMax);
  sample.height = Number(bytes, &at, kSideMax);
  const int most = Number(bytes, &at, kValueMax);
  if (sample.width <= 0 || sample.height <= 0 || most <= 0 ||
      at >= bytes.size() || !absl::ascii_isspace(bytes[at])) {
    return Corrupt("the header of the PGM or PPM file is damaged");
  }
  ++at;
  const size_t depth = most > 255 ? 2 : 1;
  const size_t count = size_t(sample.width) * sample.height * sample.channels;
  if (bytes.size() - at < count * depth) return Corrupt("it is cut short");
  sample.pixels.resize(count);
  for (size_t i = 0; i < count; ++i) {
    int value = static_cast<uint8_t>(bytes[at++]);
    if (depth == 2) value = value << 8 | static_cast<uint8_t>(bytes[at++]);
    if (value > most) return Corrupt("a value is above the greatest");
    sample.pixels[i] = static_cast<uint8_t>((value * 255 + most / 2) / most);
  }
  return sample;
}

}  // namespace condense::data
