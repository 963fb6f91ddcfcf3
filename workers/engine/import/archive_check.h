#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_ARCHIVE_CHECK_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_ARCHIVE_CHECK_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace condense::torchscript_import {

// Whether the bytes start like a zip archive, as TorchScript files do.
bool IsArchive(absl::string_view bytes);

// Looks over a TorchScript archive before LibTorch unpacks it: it must be whole
// (data.pkl and code/), have at most 100,000 members inside of its own folder,
// and unpack to at most four times its size and 64 MiB, because TorchScript
// stores weights as they are. Its pickles pass CheckPickle, its programs
// CheckCode. INVALID_ARGUMENT with reason NOT_A_MODEL or ARCHIVE_TOO_LARGE, and
// the reasons of these two.
absl::Status CheckArchive(absl::string_view bytes);

// Looks over one source file of an archive before LibTorch compiles it:
// INVALID_ARGUMENT with reason UNSUPPORTED_MODULE for a class that is rebuilt by
// code of its own (__setstate__: torch.jit.load would run it), and with reason
// TOO_LARGE for an expression or block that is nested so deep, or so long, that
// the compiler's recursion could leave the stack.
absl::Status CheckCode(absl::string_view source);

}  // namespace condense::torchscript_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_ARCHIVE_CHECK_H_
