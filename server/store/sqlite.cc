#include "server/store/sqlite.h"

#include <sqlite3.h>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "server/core/errors.h"

namespace condense {
namespace {

constexpr int kBusyTimeoutMs = 5000;

absl::Status SqliteError(sqlite3* db, int code, absl::string_view doing) {
  const char* why = db == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db);
  if ((code & 0xff) == SQLITE_FULL) {
    return MakeError(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                     absl::StrCat("cannot ", doing, ": ", why));
  }
  return StoreFailed(doing, why);
}

}  // namespace

SqliteStatement::~SqliteStatement() { sqlite3_finalize(statement_); }

SqliteStatement& SqliteStatement::BindText(int index, absl::string_view text) {
  sqlite3_bind_text(statement_, index, text.data(),
                    static_cast<int>(text.size()), SQLITE_TRANSIENT);
  return *this;
}

SqliteStatement& SqliteStatement::BindBytes(int index,
                                            absl::string_view bytes) {
  sqlite3_bind_blob(statement_, index, bytes.empty() ? "" : bytes.data(),
                    static_cast<int>(bytes.size()), SQLITE_TRANSIENT);
  return *this;
}

SqliteStatement& SqliteStatement::BindInt(int index, int64_t value) {
  sqlite3_bind_int64(statement_, index, value);
  return *this;
}

absl::StatusOr<bool> SqliteStatement::Next() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  const absl::Status status =
      code == SQLITE_DONE ? absl::OkStatus()
                          : SqliteError(db_, code, "use the database of jobs");
  Reset();
  if (!status.ok()) return status;
  return false;
}

absl::Status SqliteStatement::Run() {
  const absl::Status status = Next().status();
  Reset();
  return status;
}

void SqliteStatement::Reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

int64_t SqliteStatement::Int(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string SqliteStatement::Bytes(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return size == 0 ? std::string()
                   : std::string(static_cast<const char*>(bytes), size);
}

absl::StatusOr<std::unique_ptr<SqliteDb>> SqliteDb::Open(
    const std::string& path) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(
      path.c_str(), &raw,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
      nullptr);
  std::unique_ptr<SqliteDb> db(new SqliteDb(raw));
  if (code != SQLITE_OK) {
    return SqliteError(raw, code, absl::StrCat("open ", path));
  }
  sqlite3_busy_timeout(raw, kBusyTimeoutMs);
  CONDENSE_RETURN_IF_ERROR(
      db->Execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                  "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;"));
  return db;
}

SqliteDb::~SqliteDb() { sqlite3_close(db_); }

absl::Status SqliteDb::Execute(const std::string& sql) {
  const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus()
                           : SqliteError(db_, code, "use the database of jobs");
}

absl::StatusOr<std::unique_ptr<SqliteStatement>> SqliteDb::Prepare(
    const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v3(db_, sql.c_str(), static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) {
    return SqliteError(db_, code, "use the database of jobs");
  }
  return std::make_unique<SqliteStatement>(db_, statement);
}

}  // namespace condense
