#include "server/core/errors.h"

#include "absl/strings/str_cat.h"
#include "common/error.h"

namespace condense {
namespace {

using absl::StatusCode;
using absl::StrCat;

}  // namespace

absl::Status FieldMissing(absl::string_view field) {
  return MakeError(StatusCode::kInvalidArgument, "FIELD_MISSING",
                   StrCat(field, " is required"),
                   {.field = std::string(field)});
}

absl::Status FieldOutOfRange(absl::string_view field, int64_t value,
                             int64_t least, int64_t most) {
  return MakeError(
      StatusCode::kInvalidArgument, "OUT_OF_RANGE",
      StrCat(field, " is ", value, ", it must be ", least, " to ", most),
      {.field = std::string(field)});
}

absl::Status BadName(absl::string_view field, absl::string_view name,
                     absl::string_view form) {
  return MakeError(StatusCode::kInvalidArgument, "BAD_NAME",
                   StrCat("'", name, "' does not have the form ", form),
                   {.field = std::string(field)});
}

absl::Status BadPageToken() {
  return MakeError(
      StatusCode::kInvalidArgument, "BAD_PAGE_TOKEN",
      "this page token was not given by this server",
      {.field = "page_token", .hint = "list from the first page again"});
}

absl::Status BadGate(absl::string_view key, absl::string_view value) {
  return MakeError(
      StatusCode::kInvalidArgument, "BAD_GATE",
      StrCat("the bound '", value, "' of gate ", key, " is not a number"),
      {.field = StrCat("job.spec.gates[", key, "]")});
}

absl::Status UnknownProfile(absl::string_view id,
                            const std::vector<std::string>& known,
                            absl::string_view field) {
  return MakeError(StatusCode::kInvalidArgument, "UNKNOWN_PROFILE",
                   StrCat("there is no device profile '", id, "'"),
                   {.field = std::string(field),
                    .nearest = NearestName(id, known),
                    .hint = "condense profiles list shows all"});
}

absl::Status ProfileNotFound(absl::string_view id,
                             const std::vector<std::string>& known) {
  return MakeError(StatusCode::kNotFound, "UNKNOWN_PROFILE",
                   StrCat("there is no device profile '", id, "'"),
                   {.nearest = NearestName(id, known),
                    .hint = "condense profiles list shows all"});
}

absl::Status JobNotFound(absl::string_view name) {
  return MakeError(StatusCode::kNotFound, "JOB_NOT_FOUND",
                   StrCat("there is no job ", name));
}

absl::Status RequestIdReused(absl::string_view request_id) {
  return MakeError(
      StatusCode::kAlreadyExists, "REQUEST_ID_REUSED",
      StrCat("request_id ", request_id,
             " was used for a job that differs from this one"),
      {.field = "request_id", .hint = "take a new request_id for a new job"});
}

absl::Status BlobNotStored(absl::string_view field, absl::string_view digest) {
  return MakeError(StatusCode::kFailedPrecondition, "BLOB_NOT_STORED",
                   StrCat("the blob ", digest, " is not stored"),
                   {.field = std::string(field),
                    .hint = "upload it first (BlobService.Write)"});
}

absl::Status StaleEpoch(absl::string_view job, int epoch) {
  return MakeError(StatusCode::kFailedPrecondition, "STALE_EPOCH",
                   StrCat("lease ", epoch, " of ", job, " has ended"),
                   {.hint = "kill its engine and forget the job"});
}

absl::Status EventsMissing(int64_t first_index, int64_t next_index) {
  return MakeError(StatusCode::kOutOfRange, "EVENTS_MISSING",
                   StrCat("first_index is ", first_index, ", but event ",
                          next_index, " of this lease has not come yet"),
                   {.field = "first_index"});
}

absl::Status ArtifactIncomplete(absl::string_view profile,
                                absl::string_view why) {
  return MakeError(StatusCode::kFailedPrecondition, "ARTIFACT_INCOMPLETE",
                   StrCat("the artifact for ", profile, " ", why),
                   {.field = "artifacts",
                    .hint = "upload its files, then complete the lease"});
}

absl::Status AttemptsExhausted(int attempts, absl::string_view last_reason) {
  return MakeError(
      StatusCode::kUnavailable, "ATTEMPTS_EXHAUSTED",
      StrCat("given up after ", attempts,
             " attempts that the infrastructure failed, the last with ",
             last_reason),
      {.hint = "look at the workers' logs, then submit again"});
}

absl::Status BlobNotFound(absl::string_view digest) {
  return MakeError(StatusCode::kNotFound, "BLOB_NOT_FOUND",
                   StrCat("the blob ", digest, " is not stored"));
}

absl::Status DigestMismatch(absl::string_view wanted, absl::string_view found) {
  return MakeError(StatusCode::kInvalidArgument, "DIGEST_MISMATCH",
                   StrCat("the bytes have the digest ", found, ", not ", wanted,
                          "; nothing is kept"),
                   {.field = "digest"});
}

absl::Status WrongOffset(int64_t offset, int64_t committed) {
  return MakeError(
      StatusCode::kAborted, "WRONG_OFFSET",
      StrCat("offset is ", offset, ", but ", committed, " bytes are committed"),
      {.field = "offset", .hint = "ask QueryWrite and go on from there"});
}

absl::Status WrongSize(int64_t stated, int64_t known) {
  return MakeError(StatusCode::kInvalidArgument, "WRONG_SIZE",
                   StrCat("size_bytes is ", stated, ", but there are at least ",
                          known, " bytes"),
                   {.field = "size_bytes"});
}

absl::Status OffsetPastEnd(int64_t offset, int64_t size) {
  return MakeError(
      StatusCode::kOutOfRange, "OFFSET_PAST_END",
      StrCat("offset is ", offset, ", but the blob has ", size, " bytes"),
      {.field = "offset"});
}

absl::Status ChunkTooLarge(int64_t size, int64_t most) {
  return MakeError(
      StatusCode::kInvalidArgument, "CHUNK_TOO_LARGE",
      StrCat("a chunk of ", size, " bytes; send at most ", most, " at once"),
      {.field = "data"});
}

absl::Status ServerStopping() {
  return MakeError(StatusCode::kUnavailable, "SERVER_STOPPING",
                   "the server is going down", {.hint = "try again"});
}

absl::Status DataDirInUse(absl::string_view data_dir) {
  return MakeError(StatusCode::kFailedPrecondition, "DATA_DIR_IN_USE",
                   StrCat("another server uses the data directory ", data_dir),
                   {.hint = "stop it, or take another --data-dir"});
}

absl::Status NewerSchema(absl::string_view path, int found, int known) {
  return MakeError(
      StatusCode::kFailedPrecondition, "NEWER_SCHEMA",
      StrCat(path, " has schema version ", found, ", this server knows ", known,
             " at most"),
      {.hint = "run the newer server again, or take another --data-dir"});
}

absl::Status StoreFailed(absl::string_view doing, absl::string_view why) {
  return MakeError(StatusCode::kInternal, "STORE_FAILED",
                   StrCat("cannot ", doing, ": ", why));
}

}  // namespace condense
