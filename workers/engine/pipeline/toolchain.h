#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_TOOLCHAIN_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_TOOLCHAIN_H_

#include <map>
#include <string>

namespace condense::pipeline {

// Versions of what makes artifacts: "condense", "libtorch", "compiler".
std::map<std::string, std::string> Toolchain();

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_TOOLCHAIN_H_
