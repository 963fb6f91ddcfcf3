#ifndef CONDENSE_SERVER_STORE_SCHEMA_H_
#define CONDENSE_SERVER_STORE_SCHEMA_H_

#include <string>

#include "absl/status/status.h"
#include "server/store/sqlite.h"

namespace condense {

// The newest schema that this binary knows; stored as SQLite's user_version.
int NewestSchema();

// Brings the database to the newest schema, one migration after the other, each
// in a transaction of its own. FAILED_PRECONDITION, reason NEWER_SCHEMA: a
// newer server wrote it; `path` is for that message.
absl::Status Migrate(SqliteDb& db, const std::string& path);

}  // namespace condense

#endif  // CONDENSE_SERVER_STORE_SCHEMA_H_
