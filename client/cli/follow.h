#ifndef CONDENSE_CLIENT_CLI_FOLLOW_H_
#define CONDENSE_CLIENT_CLI_FOLLOW_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/context.h"
#include "client/cpp/client.h"
#include "condense/v1/job.pb.h"

namespace condense::cli {

// How to show a job's events.
enum class FollowMode {
  kSilent,  // Only warnings about the connection, on stderr.
  kEvents,  // As JSON, one per line.
  kText,    // Live on a terminal, plain lines elsewhere.
};

// Follows a job to its final state and returns it. Blocks. Tries again while
// the server is away, and says so on stderr.
absl::StatusOr<v1::Job> Follow(const Context& context, client::Client& client,
                               const std::string& job, int64_t from_sequence,
                               FollowMode mode);

}  // namespace condense::cli

#endif  // CONDENSE_CLIENT_CLI_FOLLOW_H_
