#ifndef CONDENSE_SERVER_CORE_JOB_RECORD_H_
#define CONDENSE_SERVER_CORE_JOB_RECORD_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "condense/v1/event.pb.h"
#include "condense/v1/job.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "server/core/job_store.h"
#include "server/core/scheduling.h"

// What happens to one job, without any table around it. No I/O, no clock.

namespace condense {

google::protobuf::Timestamp ToProto(absl::Time time);
absl::Time FromProto(const google::protobuf::Timestamp& time);

// For the queue.
QueuedJob QueuedJobOf(const JobRecord& record);

// SUCCEEDED, FAILED or CANCELLED.
bool IsFinal(v1::Job::State state);

// A lease whose attempt has not ended, or null.
v1::Attempt* RunningAttempt(v1::Job& job);

// Sets the state and returns its event, which has no sequence yet.
v1::JobEvent ChangeState(v1::Job& job, v1::Job::State state, absl::Time now);

// Takes what a worker's event says into the job: phase, progress, checkpoint,
// artifact. Events of type "state" are the server's own and must not come here.
void ApplyEvent(const v1::JobEvent& event, v1::Job& job);

// Begins the next attempt: RUNNING, resuming from the newest checkpoint.
v1::JobEvent StartAttempt(JobRecord& record, absl::string_view worker,
                          absl::Time now);

// Ends the running attempt; the job's own state stays.
void EndAttempt(v1::Job& job, v1::Attempt::Outcome outcome,
                absl::string_view reason, absl::Time now);

// Attempts that the infrastructure failed: silent workers and retryable errors.
int FailedAttempts(const v1::Job& job);

}  // namespace condense

#endif  // CONDENSE_SERVER_CORE_JOB_RECORD_H_
