#ifndef CONDENSE_COMMON_FRAMING_H_
#define CONDENSE_COMMON_FRAMING_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message_lite.h"

namespace condense {

// Length-delimited protobuf messages (varint length, then bytes) over pipes.
// A message is at most 16 MiB.

// Writes one message; blocks until all of it is in the pipe. UNAVAILABLE if the
// other end is closed (SIGPIPE must be ignored).
absl::Status WriteMessage(int fd, const google::protobuf::MessageLite& message);

// Reads messages from a file descriptor that it does not own. Not thread-safe.
class MessageReader {
 public:
  explicit MessageReader(int fd) : fd_(fd) {}
  // Blocks for the next message. false: end of file between two messages.
  // DATA_LOSS: end of file inside of one, or bytes that are no message.
  absl::StatusOr<bool> Read(google::protobuf::MessageLite* message);
  // As Read, but only waits for `timeout_ms`; -1: for ever. DEADLINE_EXCEEDED
  // when nothing (complete) came.
  absl::StatusOr<bool> Read(google::protobuf::MessageLite* message,
                            int timeout_ms);

 private:
  int fd_;
  std::string buffer_;
};

}  // namespace condense

#endif  // CONDENSE_COMMON_FRAMING_H_
