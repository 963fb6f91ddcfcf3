#include "common/utf8.h"

#include <cstdint>

namespace condense {
namespace {

// The number of bytes that follow a first byte, -1 if none may be first.
int Following(uint8_t first) {
  if (first < 0x80) return 0;
  if (first >= 0xc2 && first <= 0xdf) return 1;
  if (first >= 0xe0 && first <= 0xef) return 2;
  if (first >= 0xf0 && first <= 0xf4) return 3;
  return -1;
}

}  // namespace

bool IsUtf8(absl::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const uint8_t first = static_cast<uint8_t>(text[i]);
    const int more = Following(first);
    if (more < 0 || i + more >= text.size() + (more == 0 ? 1 : 0)) return false;
    uint32_t code = more == 0 ? first : first & (0x3f >> more);
    for (int k = 0; k < more; ++k) {
      const uint8_t next = static_cast<uint8_t>(text[++i]);
      if ((next & 0xc0) != 0x80) return false;
      code = code << 6 | (next & 0x3f);
    }
    const bool overlong =
        (more == 2 && code < 0x800) || (more == 3 && code < 0x10000);
    const bool surrogate = code >= 0xd800 && code <= 0xdfff;
    if (overlong || surrogate || code > 0x10ffff) return false;
  }
  return true;
}

}  // namespace condense
