#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_TORCHSCRIPT_PROGRAM_CHECK_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_TORCHSCRIPT_PROGRAM_CHECK_H_

#include <torch/script.h>

#include "absl/status/status.h"

namespace condense::torchscript_import {

// Turns of all loops of a program together, where it is interpreted.
inline constexpr int64_t kIterationsMax = 10'000;

// Looks over a program (inlined) before any of it is run: LibTorch runs what is
// known, and models may come from strangers. INVALID_ARGUMENT with reason
// UNSAFE_OPERATOR and the place for operators that touch files, processes or
// threads, or that are not LibTorch's own.
absl::Status CheckProgram(const torch::jit::Graph& program);

// Whether LibTorch may run the program as a trial: it has no loop whose turns
// the program itself does not bound by kIterationsMax.
bool IsBounded(const torch::jit::Graph& program);

}  // namespace condense::torchscript_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_TORCHSCRIPT_PROGRAM_CHECK_H_
