#ifndef CONDENSE_CLIENT_CPP_TRANSFER_H_
#define CONDENSE_CLIENT_CPP_TRANSFER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cpp/client.h"
#include "common/blob_transfer.h"
#include "condense/v1/job.pb.h"

namespace condense::client {

// Stores one file on the server, unless it is there already; goes on where an
// earlier try stopped. NOT_FOUND with reason FILE_NOT_FOUND; INVALID_ARGUMENT
// with reason NOT_A_FILE.
absl::StatusOr<v1::BlobRef> UploadFile(Client& client, const std::string& path,
                                       const TransferProgress& progress = {});

// As UploadFile; a folder goes as one tar (client/cpp/tar.h), through a
// temporary file. Sets name, blob and is_folder.
absl::StatusOr<v1::NamedData> UploadData(Client& client,
                                         const std::string& name,
                                         const std::string& path,
                                         const TransferProgress& progress = {});

// As in common/blob_transfer.h, from the client's server.
absl::Status DownloadBlob(Client& client, const std::string& digest,
                          const std::string& path,
                          const TransferProgress& progress = {});
absl::StatusOr<std::string> ReadBlob(Client& client, const std::string& digest,
                                     int64_t limit_bytes = 64 << 20);

// Writes all files of an artifact to `out`/PROFILE/ and returns that folder.
// DATA_LOSS with reason BAD_FILE_NAME when the server names a file that would
// lie elsewhere.
absl::StatusOr<std::string> DownloadArtifact(
    Client& client, const v1::Artifact& artifact, const std::string& out,
    const TransferProgress& progress = {});

}  // namespace condense::client

#endif  // CONDENSE_CLIENT_CPP_TRANSFER_H_
