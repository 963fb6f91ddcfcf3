#include "server/store/sqlite_job_store.h"

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/files.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "server/core/errors.h"
#include "server/core/resource_names.h"
#include "server/store/schema.h"
#include "server/store/sqlite.h"

namespace condense {
namespace {

using Statement = std::unique_ptr<SqliteStatement>;

constexpr char kRecordColumns[] =
    "job, request_fingerprint, next_index, not_before_us";

int64_t ToMicros(absl::Time time) {
  return time == absl::InfinitePast() ? 0 : absl::ToUnixMicros(time);
}

// A row of kRecordColumns.
absl::StatusOr<JobRecord> ReadRecord(const SqliteStatement& row) {
  JobRecord record;
  if (!record.job.ParseFromString(row.Bytes(0))) {
    return StoreFailed("read a job", "its bytes are damaged");
  }
  record.request_fingerprint = row.Bytes(1);
  record.next_index = row.Int(2);
  record.not_before =
      row.Int(3) == 0 ? absl::InfinitePast() : absl::FromUnixMicros(row.Int(3));
  return record;
}

class SqliteJobStore : public JobStore {
 public:
  absl::Status Open(const std::string& path);

  absl::Status Commit(const std::vector<JobChange>& changes) override;
  absl::StatusOr<JobRecord> Get(absl::string_view name) override;
  absl::StatusOr<std::optional<JobRecord>> FindByRequest(
      absl::string_view project, absl::string_view request_id) override;
  absl::StatusOr<std::vector<JobRecord>> LoadUnfinished() override;
  absl::StatusOr<std::map<v1::Job::State, int64_t>> CountByState() override;
  absl::StatusOr<std::vector<ListedJob>> List(absl::string_view project,
                                              int64_t before,
                                              int limit) override;
  absl::StatusOr<std::vector<v1::JobEvent>> ReadEvents(absl::string_view job,
                                                       int64_t from_sequence,
                                                       int limit) override;

 private:
  absl::Status PrepareWrites() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mu_);
  absl::Status PrepareReads() ABSL_EXCLUSIVE_LOCKS_REQUIRED(read_mu_);
  absl::Status Write(const JobChange& change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mu_);
  // Reads the rows of `statement` and resets it.
  absl::StatusOr<std::optional<JobRecord>> ReadOne(SqliteStatement& statement)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(read_mu_);

  absl::Mutex write_mu_;
  std::unique_ptr<SqliteDb> writer_ ABSL_GUARDED_BY(write_mu_);
  Statement upsert_ ABSL_GUARDED_BY(write_mu_);
  Statement add_event_ ABSL_GUARDED_BY(write_mu_);
  Statement begin_ ABSL_GUARDED_BY(write_mu_);
  Statement commit_ ABSL_GUARDED_BY(write_mu_);

  absl::Mutex read_mu_;
  std::unique_ptr<SqliteDb> reader_ ABSL_GUARDED_BY(read_mu_);
  Statement get_ ABSL_GUARDED_BY(read_mu_);
  Statement by_request_ ABSL_GUARDED_BY(read_mu_);
  Statement unfinished_ ABSL_GUARDED_BY(read_mu_);
  Statement count_ ABSL_GUARDED_BY(read_mu_);
  Statement list_ ABSL_GUARDED_BY(read_mu_);
  Statement events_ ABSL_GUARDED_BY(read_mu_);
};

absl::Status SqliteJobStore::Open(const std::string& path) {
  absl::MutexLock write_lock(&write_mu_);
  absl::MutexLock read_lock(&read_mu_);
  CONDENSE_ASSIGN_OR_RETURN(writer_, SqliteDb::Open(path));
  CONDENSE_RETURN_IF_ERROR(Migrate(*writer_, path));
  CONDENSE_ASSIGN_OR_RETURN(reader_, SqliteDb::Open(path));
  CONDENSE_RETURN_IF_ERROR(PrepareWrites());
  return PrepareReads();
}

absl::Status SqliteJobStore::PrepareWrites() {
  CONDENSE_ASSIGN_OR_RETURN(
      upsert_,
      writer_->Prepare(
          "INSERT INTO jobs (name, project, request_id, request_fingerprint,"
          " state, next_index, not_before_us, job)"
          " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
          " ON CONFLICT (name) DO UPDATE SET state = excluded.state,"
          " next_index = excluded.next_index,"
          " not_before_us = excluded.not_before_us, job = excluded.job"));
  CONDENSE_ASSIGN_OR_RETURN(
      add_event_,
      writer_->Prepare("INSERT INTO events (job, sequence, event) VALUES"
                       " ((SELECT id FROM jobs WHERE name = ?1), ?2, ?3)"));
  CONDENSE_ASSIGN_OR_RETURN(begin_, writer_->Prepare("BEGIN IMMEDIATE"));
  CONDENSE_ASSIGN_OR_RETURN(commit_, writer_->Prepare("COMMIT"));
  return absl::OkStatus();
}

absl::Status SqliteJobStore::PrepareReads() {
  const std::string select =
      absl::StrCat("SELECT ", kRecordColumns, " FROM jobs WHERE ");
  CONDENSE_ASSIGN_OR_RETURN(get_,
                            reader_->Prepare(absl::StrCat(select, "name=?1")));
  CONDENSE_ASSIGN_OR_RETURN(
      by_request_,
      reader_->Prepare(absl::StrCat(
          select, "project=?1 AND request_id=?2 AND request_id != ''")));
  CONDENSE_ASSIGN_OR_RETURN(
      unfinished_,
      reader_->Prepare(absl::StrCat(select, "state IN (", v1::Job::QUEUED, ",",
                                    v1::Job::RUNNING, ",", v1::Job::CANCELLING,
                                    ") ORDER BY id")));
  CONDENSE_ASSIGN_OR_RETURN(
      count_,
      reader_->Prepare("SELECT state, COUNT(*) FROM jobs GROUP BY state"));
  CONDENSE_ASSIGN_OR_RETURN(
      list_, reader_->Prepare("SELECT id, job FROM jobs WHERE project=?1"
                              " AND id < ?2 ORDER BY id DESC LIMIT ?3"));
  CONDENSE_ASSIGN_OR_RETURN(
      events_, reader_->Prepare(
                   "SELECT event FROM events WHERE"
                   " job=(SELECT id FROM jobs WHERE name=?1) AND sequence>=?2"
                   " ORDER BY sequence LIMIT ?3"));
  return absl::OkStatus();
}

absl::Status SqliteJobStore::Write(const JobChange& change) {
  const v1::Job& job = change.record.job;
  CONDENSE_RETURN_IF_ERROR(upsert_->BindText(1, job.name())
                               .BindText(2, ProjectOfJob(job.name()))
                               .BindText(3, job.request_id())
                               .BindText(4, change.record.request_fingerprint)
                               .BindInt(5, job.state())
                               .BindInt(6, change.record.next_index)
                               .BindInt(7, ToMicros(change.record.not_before))
                               .BindBytes(8, job.SerializeAsString())
                               .Run());
  for (const v1::JobEvent& event : change.events) {
    CONDENSE_RETURN_IF_ERROR(add_event_->BindText(1, job.name())
                                 .BindInt(2, event.sequence())
                                 .BindBytes(3, event.SerializeAsString())
                                 .Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteJobStore::Commit(const std::vector<JobChange>& changes) {
  absl::MutexLock lock(&write_mu_);
  absl::Status status = begin_->Run();
  for (size_t i = 0; i < changes.size() && status.ok(); ++i) {
    status = Write(changes[i]);
  }
  if (status.ok()) status = commit_->Run();
  if (!status.ok()) (void)writer_->Execute("ROLLBACK");
  return status;
}

absl::StatusOr<std::optional<JobRecord>> SqliteJobStore::ReadOne(
    SqliteStatement& statement) {
  CONDENSE_ASSIGN_OR_RETURN(const bool found, statement.Next());
  if (!found) return std::optional<JobRecord>();
  absl::StatusOr<JobRecord> record = ReadRecord(statement);
  statement.Reset();
  if (!record.ok()) return record.status();
  return std::optional<JobRecord>(std::move(*record));
}

absl::StatusOr<JobRecord> SqliteJobStore::Get(absl::string_view name) {
  absl::MutexLock lock(&read_mu_);
  get_->BindText(1, name);
  CONDENSE_ASSIGN_OR_RETURN(std::optional<JobRecord> record, ReadOne(*get_));
  if (!record.has_value()) return JobNotFound(name);
  return *std::move(record);
}

absl::StatusOr<std::optional<JobRecord>> SqliteJobStore::FindByRequest(
    absl::string_view project, absl::string_view request_id) {
  absl::MutexLock lock(&read_mu_);
  by_request_->BindText(1, project).BindText(2, request_id);
  return ReadOne(*by_request_);
}

absl::StatusOr<std::vector<JobRecord>> SqliteJobStore::LoadUnfinished() {
  absl::MutexLock lock(&read_mu_);
  std::vector<JobRecord> records;
  while (true) {
    CONDENSE_ASSIGN_OR_RETURN(const bool row, unfinished_->Next());
    if (!row) return records;
    absl::StatusOr<JobRecord> record = ReadRecord(*unfinished_);
    if (!record.ok()) {
      unfinished_->Reset();
      return record.status();
    }
    records.push_back(std::move(*record));
  }
}

absl::StatusOr<std::map<v1::Job::State, int64_t>>
SqliteJobStore::CountByState() {
  absl::MutexLock lock(&read_mu_);
  std::map<v1::Job::State, int64_t> counts;
  while (true) {
    CONDENSE_ASSIGN_OR_RETURN(const bool row, count_->Next());
    if (!row) return counts;
    counts[static_cast<v1::Job::State>(count_->Int(0))] = count_->Int(1);
  }
}

absl::StatusOr<std::vector<ListedJob>> SqliteJobStore::List(
    absl::string_view project, int64_t before, int limit) {
  absl::MutexLock lock(&read_mu_);
  list_->BindText(1, project).BindInt(2, before).BindInt(3, limit);
  std::vector<ListedJob> jobs;
  while (true) {
    CONDENSE_ASSIGN_OR_RETURN(const bool row, list_->Next());
    if (!row) return jobs;
    ListedJob& listed = jobs.emplace_back();
    listed.position = list_->Int(0);
    if (!listed.job.ParseFromString(list_->Bytes(1))) {
      list_->Reset();
      return StoreFailed("read a job", "its bytes are damaged");
    }
  }
}

absl::StatusOr<std::vector<v1::JobEvent>> SqliteJobStore::ReadEvents(
    absl::string_view job, int64_t from_sequence, int limit) {
  absl::MutexLock lock(&read_mu_);
  events_->BindText(1, job).BindInt(2, from_sequence).BindInt(3, limit);
  std::vector<v1::JobEvent> events;
  while (true) {
    CONDENSE_ASSIGN_OR_RETURN(const bool row, events_->Next());
    if (!row) return events;
    if (!events.emplace_back().ParseFromString(events_->Bytes(0))) {
      events_->Reset();
      return StoreFailed("read an event", "its bytes are damaged");
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<JobStore>> OpenSqliteJobStore(
    const std::string& data_dir) {
  CONDENSE_RETURN_IF_ERROR(MakeWritableFolder(data_dir));
  auto store = std::make_unique<SqliteJobStore>();
  CONDENSE_RETURN_IF_ERROR(store->Open(absl::StrCat(data_dir, "/jobs.db")));
  return std::unique_ptr<JobStore>(std::move(store));
}

}  // namespace condense
