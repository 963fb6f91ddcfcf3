#ifndef CONDENSE_SERVER_STORE_DIRECTORY_BLOB_STORE_H_
#define CONDENSE_SERVER_STORE_DIRECTORY_BLOB_STORE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/core/blob_store.h"

namespace condense {

// Blobs as files below `root`:
//   <first two hex digits>/<64 hex digits>   stored and verified
//   partial/<64 hex digits>                  what has come of it so far
// A blob is synced, then renamed to its place: what is there is complete.
// PERMISSION_DENIED, reason FOLDER_NOT_WRITABLE.
absl::StatusOr<std::unique_ptr<BlobStore>> OpenDirectoryBlobStore(
    const std::string& root);

}  // namespace condense

#endif  // CONDENSE_SERVER_STORE_DIRECTORY_BLOB_STORE_H_
