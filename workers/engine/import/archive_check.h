#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_ARCHIVE_CHECK_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_ARCHIVE_CHECK_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace condense::torchscript_import {

// Whether the bytes start like a zip archive, as TorchScript files do.
bool IsArchive(absl::string_view bytes);

// Looks over a TorchScript archive before LibTorch unpacks it: it must be whole
// (data.pkl, constants.pkl or code/ and version), have at most 100,000 members
// inside of its own folder, and unpack to at most four times its size and
// 64 MiB, because TorchScript stores weights as they are. INVALID_ARGUMENT with
// reason NOT_A_MODEL or ARCHIVE_TOO_LARGE.
absl::Status CheckArchive(absl::string_view bytes);

}  // namespace condense::torchscript_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_ARCHIVE_CHECK_H_
