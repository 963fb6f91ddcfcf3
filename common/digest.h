#ifndef CONDENSE_COMMON_DIGEST_H_
#define CONDENSE_COMMON_DIGEST_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace condense {

// SHA-256 (FIPS 180-4) of bytes that come in pieces. Not thread-safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(absl::string_view bytes);
  // "sha256:<64 lower-case hex digits>". Call once; no Update after it.
  std::string Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The digest of `bytes`, "sha256:<hex>".
std::string DigestOf(absl::string_view bytes);

// The digest of a file's content; NOT_FOUND or INTERNAL if it cannot be read.
absl::StatusOr<std::string> DigestOfFile(const std::string& path);

// OK if `digest` has the form "sha256:<64 lower-case hex digits>", else
// INVALID_ARGUMENT with reason BAD_DIGEST.
absl::Status CheckDigest(absl::string_view digest);

}  // namespace condense

#endif  // CONDENSE_COMMON_DIGEST_H_
