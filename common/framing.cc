#include "common/framing.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"

namespace condense {
namespace {

constexpr uint32_t kMessageBytesMax = 16 << 20;
constexpr size_t kVarint32BytesMax = 5;

// The next message's frame in `buffer`: its header's size and its length. A
// header of 0 bytes: not complete yet.
struct Frame {
  size_t header = 0;
  uint32_t length = 0;
};

absl::StatusOr<Frame> ParseHeader(const std::string& buffer) {
  Frame frame;
  for (size_t i = 0; i < buffer.size() && i < kVarint32BytesMax; ++i) {
    frame.length |= static_cast<uint32_t>(buffer[i] & 0x7f) << (7 * i);
    if ((buffer[i] & 0x80) == 0) {
      frame.header = i + 1;
      if (frame.length > kMessageBytesMax) break;
      return frame;
    }
  }
  if (buffer.size() < kVarint32BytesMax && frame.header == 0) return Frame{};
  return absl::DataLossError("a pipe carries bytes that are no message");
}

}  // namespace

absl::Status WriteMessage(int fd,
                          const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    const std::string body = message.SerializeAsString();
    uint8_t header[kVarint32BytesMax];
    const uint8_t* end =
        google::protobuf::io::CodedOutputStream::WriteVarint32ToArray(
            static_cast<uint32_t>(body.size()), header);
    bytes.assign(reinterpret_cast<char*>(header), end - header);
    bytes += body;
  }
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      return absl::UnavailableError(
          absl::StrCat("cannot write to the pipe: ", std::strerror(errno)));
    }
    done += n;
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> MessageReader::Read(
    google::protobuf::MessageLite* message) {
  return Read(message, -1);
}

absl::StatusOr<bool> MessageReader::Read(google::protobuf::MessageLite* message,
                                         int timeout_ms) {
  using std::chrono::steady_clock;
  const auto deadline =
      steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    absl::StatusOr<Frame> frame = ParseHeader(buffer_);
    if (!frame.ok()) return frame.status();
    if (frame->header > 0 && buffer_.size() >= frame->header + frame->length) {
      const bool parsed = message->ParseFromArray(
          buffer_.data() + frame->header, static_cast<int>(frame->length));
      buffer_.erase(0, frame->header + frame->length);
      if (!parsed) return absl::DataLossError("a pipe carries no such message");
      return true;
    }
    int wait_ms = -1;
    if (timeout_ms >= 0) {
      wait_ms = std::max<int>(
          0, std::chrono::duration_cast<std::chrono::milliseconds>(
                 deadline - steady_clock::now())
                 .count());
    }
    pollfd poll_fd{.fd = fd_, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&poll_fd, 1, wait_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return absl::DeadlineExceededError("no message yet");
    char chunk[65536];
    const ssize_t n = ::read(fd_, chunk, sizeof(chunk));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::DataLossError(std::strerror(errno));
    if (n == 0) {
      if (buffer_.empty()) return false;
      return absl::DataLossError("a pipe ended inside a message");
    }
    buffer_.append(chunk, n);
  }
}

}  // namespace condense
