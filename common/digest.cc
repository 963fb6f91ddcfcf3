#include "common/digest.h"

#include <openssl/evp.h>

#include <fstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/log.h"

namespace condense {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  CONDENSE_CHECK(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) ==
                 1);
}

Sha256::~Sha256() = default;

void Sha256::Update(absl::string_view bytes) {
  CONDENSE_CHECK(
      EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::Finish() {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  CONDENSE_CHECK(EVP_DigestFinal_ex(state_->context, out, &size) == 1);
  return absl::StrCat("sha256:",
                      absl::BytesToHexString(absl::string_view(
                          reinterpret_cast<const char*>(out), size)));
}

std::string DigestOf(absl::string_view bytes) {
  Sha256 sha;
  sha.Update(bytes);
  return sha.Finish();
}

absl::StatusOr<std::string> DigestOfFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return MakeError(absl::StatusCode::kNotFound, "FILE_NOT_FOUND",
                     absl::StrCat("cannot open ", path));
  }
  Sha256 sha;
  std::vector<char> buffer(1 << 20);
  while (in.read(buffer.data(), buffer.size()) || in.gcount() > 0) {
    sha.Update(absl::string_view(buffer.data(), in.gcount()));
  }
  if (in.bad()) {
    return MakeError(absl::StatusCode::kInternal, "FILE_UNREADABLE",
                     absl::StrCat("cannot read ", path));
  }
  return sha.Finish();
}

absl::Status CheckDigest(absl::string_view digest) {
  bool good = absl::StartsWith(digest, "sha256:") && digest.size() == 71;
  for (size_t i = 7; good && i < digest.size(); ++i) {
    good = absl::ascii_isdigit(digest[i]) ||
           (digest[i] >= 'a' && digest[i] <= 'f');
  }
  if (good) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_DIGEST",
                   absl::StrCat("'", digest, "' is not a digest"),
                   {.hint = "write it as sha256:<64 lower-case hex digits>"});
}

}  // namespace condense
