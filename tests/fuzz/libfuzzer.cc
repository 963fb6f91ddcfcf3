// The entry of a libFuzzer program; CONDENSE_FUZZ_TARGET is one of targets.h.

#include <cstdint>

#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  condense::fuzz::CONDENSE_FUZZ_TARGET(
      absl::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
