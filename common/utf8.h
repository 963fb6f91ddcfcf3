#ifndef CONDENSE_COMMON_UTF8_H_
#define CONDENSE_COMMON_UTF8_H_

#include "absl/strings/string_view.h"

namespace condense {

// Whether the text is well-formed UTF-8 (RFC 3629): no stray or overlong bytes,
// no surrogates, nothing above U+10FFFF. JSON and Protobuf take nothing else.
bool IsUtf8(absl::string_view text);

}  // namespace condense

#endif  // CONDENSE_COMMON_UTF8_H_
