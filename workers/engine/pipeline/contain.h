#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_CONTAIN_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_CONTAIN_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"

namespace condense::pipeline {

// Bounds what this process can do to its machine whatever a model makes it do:
// no core dumps (they would hold models and data), at most 4096 open files, no
// new privileges through programs it might start, and a deep stack for
// LibTorch's recursive compiler. Call once, first thing.
void ContainProcess();

// On the CPU: no more data than MemoryBytes, so that a request beyond it is a
// typed error instead of a kill. Does nothing for "cuda:N": CUDA reserves more
// address space than there is memory.
void LimitMemory(const std::string& resolved_device);

// Calls `work`; RESOURCE_EXHAUSTED with reason OUT_OF_MEMORY where it meets that
// limit outside of LibTorch.
absl::Status WithinMemory(const std::function<absl::Status()>& work);

// Bytes of memory that this process may hope for: the machine's, or less where
// its control group says so (cgroup v2).
int64_t MemoryBytes();

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_CONTAIN_H_
