#ifndef CONDENSE_SERVER_STORE_SQLITE_H_
#define CONDENSE_SERVER_STORE_SQLITE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct sqlite3;
struct sqlite3_stmt;

namespace condense {

// One prepared statement: bind, step through the rows, reset. Errors are kept
// until Run or Next reports them as STORE_FAILED (DISK_FULL when it is that).
// Not thread-safe.
class SqliteStatement {
 public:
  SqliteStatement(sqlite3* db, sqlite3_stmt* statement)
      : db_(db), statement_(statement) {}
  ~SqliteStatement();
  SqliteStatement(const SqliteStatement&) = delete;
  SqliteStatement& operator=(const SqliteStatement&) = delete;

  // `index` is the number after the question mark, from 1. Text must be UTF-8.
  SqliteStatement& BindText(int index, absl::string_view text);
  SqliteStatement& BindBytes(int index, absl::string_view bytes);
  SqliteStatement& BindInt(int index, int64_t value);

  // true: there is a row to read. After false or an error it is reset.
  absl::StatusOr<bool> Next();
  // For statements without rows: runs it and resets it.
  absl::Status Run();
  // Gives up the rows that were not read.
  void Reset();

  // Of the current row; `column` counts from 0.
  int64_t Int(int column) const;
  std::string Bytes(int column) const;

 private:
  sqlite3* const db_;
  sqlite3_stmt* const statement_;
};

// A connection to a database file. Not thread-safe.
class SqliteDb {
 public:
  // Opens or creates the file in WAL mode with synchronous=FULL: a transaction
  // that was committed survives a power failure.
  static absl::StatusOr<std::unique_ptr<SqliteDb>> Open(
      const std::string& path);
  ~SqliteDb();
  SqliteDb(const SqliteDb&) = delete;
  SqliteDb& operator=(const SqliteDb&) = delete;

  // Runs SQL that has no results, several statements if need be.
  absl::Status Execute(const std::string& sql);
  // The statement must be destroyed before the connection.
  absl::StatusOr<std::unique_ptr<SqliteStatement>> Prepare(
      const std::string& sql);

 private:
  explicit SqliteDb(sqlite3* db) : db_(db) {}
  sqlite3* const db_;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_STORE_SQLITE_H_
