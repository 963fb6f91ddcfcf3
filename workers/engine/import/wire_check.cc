#include "workers/engine/import/wire_check.h"

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"

namespace condense::onnx_import {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;

absl::Status NoModel() {
  return MakeError(absl::StatusCode::kInvalidArgument, "NOT_A_MODEL",
                   "the file is not an ONNX model, or not a whole one",
                   {.hint = "export it again"});
}

class Walker {
 public:
  Walker(absl::string_view bytes, const WireLimits& limits)
      : limits_(limits),
        stream_(reinterpret_cast<const uint8_t*>(bytes.data()),
                static_cast<int>(bytes.size())) {
    stream_.SetTotalBytesLimit(static_cast<int>(bytes.size()));
  }

  absl::Status Run(const Descriptor& type) { return Message(type, 0); }

 private:
  // One message, up to the stream's limit.
  absl::Status Message(const Descriptor& type, int depth) {
    if (depth > limits_.depth_max) {
      return TooLarge(absl::StrCat("messages nested over ", limits_.depth_max));
    }
    for (;;) {
      const uint32_t tag = stream_.ReadTag();
      if (tag == 0) {
        return stream_.ConsumedEntireMessage() ? absl::OkStatus() : NoModel();
      }
      const int number = WireFormatLite::GetTagFieldNumber(tag);
      const FieldDescriptor* field =
          number > 0 ? type.FindFieldByNumber(number) : nullptr;
      const bool nested = field != nullptr && HasElements(*field) &&
                          WireFormatLite::GetTagWireType(tag) ==
                              WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
      if (!nested) {
        if (!WireFormatLite::SkipField(&stream_, tag)) return NoModel();
        continue;
      }
      if (absl::Status status = Element(*field, depth); !status.ok()) {
        return status;
      }
    }
  }

  static bool HasElements(const FieldDescriptor& field) {
    return field.type() == FieldDescriptor::TYPE_MESSAGE ||
           field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
  }

  // A message or string whose length comes next.
  absl::Status Element(const FieldDescriptor& field, int depth) {
    if (++elements_ > limits_.elements_max) {
      return TooLarge(
          absl::StrCat("over ", limits_.elements_max, " messages and strings"));
    }
    uint32_t length = 0;
    if (!stream_.ReadVarint32(&length) || length > INT32_MAX) return NoModel();
    if (field.type() != FieldDescriptor::TYPE_MESSAGE) {
      return stream_.Skip(static_cast<int>(length)) ? absl::OkStatus()
                                                    : NoModel();
    }
    const auto limit = stream_.PushLimit(static_cast<int>(length));
    if (stream_.BytesUntilLimit() != static_cast<int>(length)) return NoModel();
    absl::Status status = Message(*field.message_type(), depth + 1);
    stream_.PopLimit(limit);
    return status;
  }

  static absl::Status TooLarge(const std::string& what) {
    return MakeError(absl::StatusCode::kInvalidArgument, "TOO_LARGE",
                     absl::StrCat("the ONNX file has ", what));
  }

  const WireLimits limits_;
  google::protobuf::io::CodedInputStream stream_;
  int64_t elements_ = 0;
};

}  // namespace

absl::Status CheckWire(absl::string_view bytes, const Descriptor& type,
                       const WireLimits& limits) {
  return Walker(bytes, limits).Run(type);
}

}  // namespace condense::onnx_import
