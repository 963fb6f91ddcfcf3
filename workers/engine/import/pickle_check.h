#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_PICKLE_CHECK_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_PICKLE_CHECK_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace condense::torchscript_import {

// The size in bytes of the archive's record that holds a storage, by its key;
// nullopt where there is none.
using StorageSize =
    std::function<std::optional<int64_t>(const std::string& key)>;

// Follows a pickle of a TorchScript archive (protocol 2, as LibTorch's Pickler
// writes it) without making anything of it. It may build numbers, strings,
// lists, tuples, dictionaries, tensors and objects of the archive's own
// classes, and name nothing else. Every tensor must lie inside of its storage,
// and every storage inside of its record: LibTorch checks neither.
// INVALID_ARGUMENT with reason NOT_A_MODEL for a pickle that is cut off or does
// what such pickles never do, UNSUPPORTED_MODULE for quantized and sparse
// tensors and for classes made in C++. Linear in the bytes.
absl::Status CheckPickle(absl::string_view bytes, const StorageSize& storage);

}  // namespace condense::torchscript_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_PICKLE_CHECK_H_
