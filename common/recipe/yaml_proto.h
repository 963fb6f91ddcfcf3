#ifndef CONDENSE_COMMON_RECIPE_YAML_PROTO_H_
#define CONDENSE_COMMON_RECIPE_YAML_PROTO_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace condense::recipe {

// Where something stands in a text, from 1.
struct Position {
  int line = 0;
  int column = 0;
};

// By path, e.g. "stages[1].finetune.epochs".
using Positions = std::map<std::string, Position>;

// A key that condense plans to have: named as UNIMPLEMENTED, not as unknown.
struct PlannedKey {
  // The full name of the message that would hold it.
  absl::string_view message;
  absl::string_view key;
};

// Reads YAML or JSON text into `message` by a walk over its descriptor, so that
// a new field needs no code here. Beyond proto3 JSON: enum values are written
// in lower case, and a oneof member without keys may be its bare name.
//
// INVALID_ARGUMENT with line, column, path and, where there is one, the nearest
// valid name: BAD_SYNTAX, UNKNOWN_KEY, DUPLICATE_KEY, WRONG_TYPE,
// UNKNOWN_VALUE, OUT_OF_RANGE (a number that the type cannot hold), TOO_LARGE
// (over 1 MiB, nested deeper than 64, or with anchors). UNIMPLEMENTED with
// reason UNIMPLEMENTED_KEY for a key of `planned`.
absl::Status YamlToProto(absl::string_view text,
                         const std::vector<PlannedKey>& planned,
                         google::protobuf::Message* message,
                         Positions* positions);

// The inverse: YAML with the same rules; fields without presence and value are
// left out.
std::string ProtoToYaml(const google::protobuf::Message& message);

}  // namespace condense::recipe

#endif  // CONDENSE_COMMON_RECIPE_YAML_PROTO_H_
