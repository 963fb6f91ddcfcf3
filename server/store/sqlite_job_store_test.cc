#include "server/store/sqlite_job_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "gtest/gtest.h"
#include "server/store/data_dir_lock.h"
#include "server/store/schema.h"
#include "server/store/sqlite.h"
#include "tests/testing/temp_dir.h"

namespace condense {
namespace {

JobChange Change(const std::string& id, v1::Job::State state,
                 std::vector<int64_t> sequences = {},
                 const std::string& project = "p") {
  JobChange change;
  v1::Job& job = change.record.job;
  job.set_name(absl::StrCat("projects/", project, "/jobs/", id));
  job.set_state(state);
  for (const int64_t sequence : sequences) {
    change.events.emplace_back().set_sequence(sequence);
    job.set_last_sequence(sequence);
  }
  return change;
}

class SqliteJobStoreTest : public ::testing::Test {
 protected:
  SqliteJobStoreTest() { Reopen(); }
  void Reopen() {
    store_.reset();
    auto store = OpenSqliteJobStore(dir_.path());
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  TempDir dir_;
  std::unique_ptr<JobStore> store_;
};

TEST_F(SqliteJobStoreTest, WhatWasCommittedIsThereAfterReopening) {
  JobChange change = Change("j-1", v1::Job::QUEUED, {1, 2});
  change.record.job.set_request_id("r");
  change.record.request_fingerprint = "f";
  change.record.next_index = 7;
  change.record.not_before = absl::FromUnixSeconds(5);
  ASSERT_TRUE(store_->Commit({change}).ok());
  Reopen();
  const JobRecord record = store_->Get("projects/p/jobs/j-1").value();
  EXPECT_EQ(record.job.last_sequence(), 2);
  EXPECT_EQ(record.request_fingerprint, "f");
  EXPECT_EQ(record.next_index, 7);
  EXPECT_EQ(record.not_before, absl::FromUnixSeconds(5));
  EXPECT_TRUE(store_->FindByRequest("p", "r").value().has_value());
  EXPECT_FALSE(store_->FindByRequest("other", "r").value().has_value());
  EXPECT_EQ(store_->ReadEvents("projects/p/jobs/j-1", 2, 10).value().size(),
            1u);
}

TEST_F(SqliteJobStoreTest, ABatchIsStoredWholeOrNotAtAll) {
  ASSERT_TRUE(store_->Commit({Change("j-1", v1::Job::QUEUED, {1})}).ok());
  const absl::Status status =
      store_->Commit({Change("j-2", v1::Job::QUEUED, {1}),
                      Change("j-1", v1::Job::RUNNING, {1})});  // Again 1.
  EXPECT_EQ(ErrorReason(status), "STORE_FAILED");
  EXPECT_EQ(ErrorReason(store_->Get("projects/p/jobs/j-2").status()),
            "JOB_NOT_FOUND");
  EXPECT_EQ(store_->Get("projects/p/jobs/j-1")->job.state(), v1::Job::QUEUED);
  EXPECT_TRUE(store_->Commit({Change("j-1", v1::Job::RUNNING, {2})}).ok());
}

TEST_F(SqliteJobStoreTest, ListsAProjectNewestFirstInPages) {
  ASSERT_TRUE(store_
                  ->Commit({Change("j-1", v1::Job::QUEUED),
                            Change("j-2", v1::Job::QUEUED),
                            Change("j-3", v1::Job::QUEUED),
                            Change("j-4", v1::Job::QUEUED, {}, "other")})
                  .ok());
  const auto first = store_->List("p", INT64_MAX, 2).value();
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first[0].job.name(), "projects/p/jobs/j-3");
  const auto second = store_->List("p", first[1].position, 2).value();
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].job.name(), "projects/p/jobs/j-1");
}

TEST_F(SqliteJobStoreTest, LoadsOnlyWhatIsUnfinished) {
  ASSERT_TRUE(store_
                  ->Commit({Change("j-1", v1::Job::SUCCEEDED),
                            Change("j-2", v1::Job::RUNNING),
                            Change("j-3", v1::Job::FAILED),
                            Change("j-4", v1::Job::CANCELLING),
                            Change("j-5", v1::Job::QUEUED)})
                  .ok());
  const auto records = store_->LoadUnfinished().value();
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].job.name(), "projects/p/jobs/j-2");
  EXPECT_EQ(store_->CountByState()->at(v1::Job::FAILED), 1);
}

TEST_F(SqliteJobStoreTest, ANewerSchemaIsRefusedAndLeftAlone) {
  store_.reset();
  const std::string path = dir_.path() + "/jobs.db";
  const int newer = NewestSchema() + 1;
  {
    auto db = SqliteDb::Open(path).value();
    ASSERT_TRUE(db->Execute(absl::StrCat("PRAGMA user_version=", newer)).ok());
  }
  const absl::Status status = OpenSqliteJobStore(dir_.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ErrorReason(status), "NEWER_SCHEMA");
  auto db = SqliteDb::Open(path).value();
  auto read = db->Prepare("PRAGMA user_version").value();
  ASSERT_TRUE(read->Next().value());
  EXPECT_EQ(read->Int(0), newer);
}

TEST_F(SqliteJobStoreTest, ADataDirThatIsNoFolderIsRefused) {
  // Permissions would not stop root, so the path leads through a file.
  const std::string file = dir_.path() + "/file";
  std::ofstream(file) << "x";
  EXPECT_EQ(ErrorReason(OpenSqliteJobStore(file + "/data").status()),
            "FOLDER_NOT_WRITABLE");
  EXPECT_EQ(ErrorReason(DataDirLock::Take(file + "/data").status()),
            "FOLDER_NOT_WRITABLE");
}

TEST_F(SqliteJobStoreTest, AFileThatIsNoDatabaseIsRefused) {
  store_.reset();
  std::filesystem::remove(dir_.path() + "/jobs.db");
  std::ofstream(dir_.path() + "/jobs.db") << std::string(5000, 'x');
  EXPECT_EQ(ErrorReason(OpenSqliteJobStore(dir_.path()).status()),
            "STORE_FAILED");
}

TEST_F(SqliteJobStoreTest, ADataDirBelongsToOneServer) {
  auto lock = DataDirLock::Take(dir_.path());
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(ErrorReason(DataDirLock::Take(dir_.path()).status()),
            "DATA_DIR_IN_USE");
  lock->reset();
  EXPECT_TRUE(DataDirLock::Take(dir_.path()).ok());
}

}  // namespace
}  // namespace condense
