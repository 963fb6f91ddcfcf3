#ifndef CONDENSE_TESTS_FUZZ_TARGETS_H_
#define CONDENSE_TESTS_FUZZ_TARGETS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/error.h"
#include "common/log.h"
#include "common/utf8.h"

// What is fuzzed: any bytes give a result or an error with a reason. A target
// returns; a crash, a failed CHECK, a hang or much memory is a finding. Each
// has a file of its own, and seeds: small valid inputs, built in code.
namespace condense::fuzz {

// Fails unless the status is OK, or has a reason and words that can be sent.
inline void CheckTyped(const absl::Status& status) {
  CONDENSE_CHECK(status.ok() || !ErrorReason(status).empty());
  CONDENSE_CHECK(IsUtf8(status.message()));
}

// An ONNX file: read, simplified, written again.
void OnnxImport(absl::string_view bytes);
std::vector<std::string> OnnxSeeds();

// A TorchScript archive, put together from its two parts that are programs: two
// bytes of length, that many bytes of data.pkl, and a source file. Read as
// LibTorch and the importer read it.
void TorchScriptImport(absl::string_view bytes);
std::vector<std::string> TorchScriptSeeds();

// A recipe's text: parsed, resolved, written, and parsed again to the same.
void RecipeText(absl::string_view bytes);
std::vector<std::string> RecipeSeeds();

// A tensor file (.npy, TensorProto) and the pickle of an archive.
void TensorFile(absl::string_view bytes);
std::vector<std::string> TensorFileSeeds();

}  // namespace condense::fuzz

#endif  // CONDENSE_TESTS_FUZZ_TARGETS_H_
