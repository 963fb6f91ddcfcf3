#include "workers/engine/pipeline/toolchain.h"

#include <torch/version.h>

namespace condense::pipeline {

std::map<std::string, std::string> Toolchain() {
  return {{"condense", CONDENSE_VERSION},
          {"libtorch", TORCH_VERSION},
          {"compiler", __VERSION__}};
}

}  // namespace condense::pipeline
