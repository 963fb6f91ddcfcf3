#include "server/store/schema.h"

#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/core/errors.h"

namespace condense {
namespace {

// Each brings the database from its index to index + 1. Never edit one that was
// released; add the next.
constexpr const char* kMigrations[] = {
    // `job` is a condense.v1.Job, `event` a condense.v1.JobEvent; the columns
    // beside them are what is searched for or what only the server knows.
    R"sql(
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  project TEXT NOT NULL,
  request_id TEXT NOT NULL,
  request_fingerprint TEXT NOT NULL,
  state INTEGER NOT NULL,
  next_index INTEGER NOT NULL,
  not_before_us INTEGER NOT NULL,
  job BLOB NOT NULL
);
CREATE INDEX jobs_by_project ON jobs(project, id);
CREATE INDEX jobs_by_state ON jobs(state);
CREATE UNIQUE INDEX jobs_by_request ON jobs(project, request_id)
  WHERE request_id != '';
CREATE TABLE events (
  job INTEGER NOT NULL REFERENCES jobs(id),
  sequence INTEGER NOT NULL,
  event BLOB NOT NULL,
  PRIMARY KEY (job, sequence)
) WITHOUT ROWID;
)sql",
};

}  // namespace

int NewestSchema() { return static_cast<int>(std::size(kMigrations)); }

absl::Status Migrate(SqliteDb& db, const std::string& path) {
  int version = 0;
  {
    CONDENSE_ASSIGN_OR_RETURN(auto read, db.Prepare("PRAGMA user_version"));
    CONDENSE_RETURN_IF_ERROR(read->Next().status());
    version = static_cast<int>(read->Int(0));
  }
  if (version > NewestSchema()) {
    return NewerSchema(path, version, NewestSchema());
  }
  for (; version < NewestSchema(); ++version) {
    const absl::Status status = db.Execute(
        absl::StrCat("BEGIN IMMEDIATE;", kMigrations[version],
                     "PRAGMA user_version=", version + 1, "; COMMIT;"));
    if (status.ok()) continue;
    (void)db.Execute("ROLLBACK");
    return status;
  }
  return absl::OkStatus();
}

}  // namespace condense
