#ifndef CONDENSE_SERVER_STORE_SQLITE_JOB_STORE_H_
#define CONDENSE_SERVER_STORE_SQLITE_JOB_STORE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/core/job_store.h"

namespace condense {

// Opens or creates the database file DATA_DIR/jobs.db. One connection writes,
// another reads, so that readers never wait for a commit. FAILED_PRECONDITION,
// reason NEWER_SCHEMA; PERMISSION_DENIED, reason FOLDER_NOT_WRITABLE.
absl::StatusOr<std::unique_ptr<JobStore>> OpenSqliteJobStore(
    const std::string& data_dir);

}  // namespace condense

#endif  // CONDENSE_SERVER_STORE_SQLITE_JOB_STORE_H_
