#include "workers/engine/data/gunzip.h"

#include <zlib.h>

#include "workers/engine/data/data_error.h"

namespace condense::data {
namespace {

constexpr int64_t kGunzipMax = int64_t{1} << 32;

}  // namespace

absl::StatusOr<std::string> Gunzip(const std::string& bytes) {
  z_stream stream = {};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) {
    return absl::InternalError("zlib does not start");
  }
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  char buffer[65536];
  int result = Z_OK;
  while (result == Z_OK && static_cast<int64_t>(out.size()) < kGunzipMax) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof(buffer);
    result = inflate(&stream, Z_NO_FLUSH);
    out.append(buffer, sizeof(buffer) - stream.avail_out);
    // A file may have several members, one after the other.
    if (result == Z_STREAM_END && stream.avail_in > 0) {
      result = inflateReset(&stream);
    }
  }
  inflateEnd(&stream);
  if (result != Z_STREAM_END)
    return DataError("CORRUPT_DATA", "gzip data", "it is damaged");
  return out;
}

}  // namespace condense::data
