#ifndef CONDENSE_TESTS_TESTING_FAKE_BLOB_STORE_H_
#define CONDENSE_TESTS_TESTING_FAKE_BLOB_STORE_H_

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/digest.h"
#include "server/core/blob_store.h"
#include "server/core/errors.h"

namespace condense {

// A BlobStore that knows sizes only: for code that asks what is stored.
// Thread-safe.
class FakeBlobStore : public BlobStore {
 public:
  // Returns the digest.
  std::string Put(absl::string_view bytes) {
    absl::MutexLock lock(&mu_);
    const std::string digest = DigestOf(bytes);
    sizes_[digest] = static_cast<int64_t>(bytes.size());
    return digest;
  }

  std::optional<int64_t> SizeOf(absl::string_view digest) override {
    absl::MutexLock lock(&mu_);
    auto it = sizes_.find(std::string(digest));
    if (it == sizes_.end()) return std::nullopt;
    return it->second;
  }
  absl::StatusOr<WriteState> QueryWrite(absl::string_view digest) override {
    return WriteState{.committed_bytes = SizeOf(digest).value_or(0),
                      .complete = SizeOf(digest).has_value()};
  }
  absl::StatusOr<std::unique_ptr<BlobWriter>> Write(absl::string_view,
                                                    int64_t) override {
    return StoreFailed("write a blob", "this store is for questions only");
  }
  absl::StatusOr<std::unique_ptr<BlobReader>> Read(absl::string_view digest,
                                                   int64_t, int64_t) override {
    return BlobNotFound(digest);
  }

 private:
  absl::Mutex mu_;
  std::map<std::string, int64_t> sizes_ ABSL_GUARDED_BY(mu_);
};

}  // namespace condense

#endif  // CONDENSE_TESTS_TESTING_FAKE_BLOB_STORE_H_
