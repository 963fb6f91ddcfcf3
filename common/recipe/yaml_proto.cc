#include "common/recipe/yaml_proto.h"

#include <cmath>
#include <limits>
#include <set>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/error.h"
#include "common/recipe/text_check.h"
#include "common/status_macros.h"
#include "google/protobuf/descriptor.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/yaml.h"

namespace condense::recipe {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kTextBytesMax = 1 << 20;
constexpr int kDepthMax = 64;
constexpr int kDashesMax = 200;
constexpr int kNodesMax = 20000;

Position PositionOf(const YAML::Node& node) {
  const YAML::Mark mark = node.Mark();
  return {mark.line + 1, mark.column + 1};
}

absl::Status ErrorHere(const YAML::Node& node, const std::string& path,
                       absl::string_view reason, const std::string& message,
                       std::string nearest = "", std::string hint = "") {
  const Position at = PositionOf(node);
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message,
                   {.field = path,
                    .line = at.line,
                    .column = at.column,
                    .nearest = std::move(nearest),
                    .hint = std::move(hint)});
}

std::string KindOf(const YAML::Node& node) {
  if (node.IsMap()) return "a mapping";
  if (node.IsSequence()) return "a list";
  if (node.IsScalar()) return absl::StrCat("'", node.Scalar(), "'");
  return "nothing";
}

absl::Status WrongType(const YAML::Node& node, const std::string& path,
                       absl::string_view wanted) {
  return ErrorHere(
      node, path, "WRONG_TYPE",
      absl::StrCat("'", path, "' must be ", wanted, ", not ", KindOf(node)));
}

std::vector<std::string> KeysOf(const Descriptor* descriptor) {
  std::vector<std::string> keys;
  for (int i = 0; i < descriptor->field_count(); ++i) {
    keys.push_back(descriptor->field(i)->name());
  }
  return keys;
}

// Enum values in the lower case that texts use, without the zero value.
std::vector<std::string> ValuesOf(const EnumDescriptor* descriptor) {
  std::vector<std::string> values;
  for (int i = 0; i < descriptor->value_count(); ++i) {
    if (descriptor->value(i)->number() != 0) {
      values.push_back(absl::AsciiStrToLower(descriptor->value(i)->name()));
    }
  }
  return values;
}

class Reader {
 public:
  Reader(const std::vector<PlannedKey>& planned, Positions* positions)
      : planned_(planned), positions_(positions) {}

  absl::Status ReadMessage(const YAML::Node& node, const std::string& path,
                           int depth, Message* message) {
    if (depth > kDepthMax || ++visited_ > kNodesMax) {
      return ErrorHere(node, path, "TOO_LARGE",
                       "nested too deeply, or too many keys (aliases count)");
    }
    const Descriptor* descriptor = message->GetDescriptor();
    if (node.IsScalar()) return ReadBareName(node, path, message);
    if (node.IsNull() && descriptor->field_count() == 0) {
      return absl::OkStatus();
    }
    if (!node.IsMap()) return WrongType(node, path, "a mapping");
    std::set<std::string> seen;
    for (const auto& item : node) {
      const std::string key = item.first.IsScalar() ? item.first.Scalar() : "";
      const std::string field_path =
          path.empty() ? key : absl::StrCat(path, ".", key);
      (*positions_)[field_path] = PositionOf(item.first);
      if (!seen.insert(key).second) {
        return ErrorHere(item.first, field_path, "DUPLICATE_KEY",
                         absl::StrCat("'", key, "' stands here twice"));
      }
      const FieldDescriptor* field = descriptor->FindFieldByName(key);
      if (field == nullptr) {
        return UnknownKey(item.first, field_path, key, descriptor);
      }
      CONDENSE_RETURN_IF_ERROR(
          CheckOneof(item.first, field_path, field, *message));
      CONDENSE_RETURN_IF_ERROR(
          ReadField(item.second, field_path, depth + 1, field, message));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status UnknownKey(const YAML::Node& node, const std::string& path,
                          const std::string& key,
                          const Descriptor* descriptor) {
    for (const PlannedKey& planned : planned_) {
      if (planned.key == key && planned.message == descriptor->name()) {
        const Position at = PositionOf(node);
        return MakeError(
            absl::StatusCode::kUnimplemented, "UNIMPLEMENTED_KEY",
            absl::StrCat("'", key, "' is not offered by this version"),
            {.field = path, .line = at.line, .column = at.column});
      }
    }
    const std::vector<std::string> keys = KeysOf(descriptor);
    return ErrorHere(
        node, path, "UNKNOWN_KEY", absl::StrCat("no key '", key, "' here"),
        NearestName(key, keys),
        keys.empty()
            ? "there are no keys here"
            : absl::StrCat("the keys here are ", absl::StrJoin(keys, ", ")));
  }

  // A second member of a oneof would silently replace the first.
  static absl::Status CheckOneof(const YAML::Node& node,
                                 const std::string& path,
                                 const FieldDescriptor* field,
                                 const Message& message) {
    const auto* oneof = field->real_containing_oneof();
    if (oneof == nullptr ||
        !message.GetReflection()->HasOneof(message, oneof)) {
      return absl::OkStatus();
    }
    const std::string other = message.GetReflection()
                                  ->GetOneofFieldDescriptor(message, oneof)
                                  ->name();
    return ErrorHere(node, path, "TOO_MANY_KEYS",
                     absl::StrCat("'", field->name(), "' and '", other,
                                  "' exclude each other"));
  }

  // `- horizontal_flip` for `- {horizontal_flip: {}}`.
  absl::Status ReadBareName(const YAML::Node& node, const std::string& path,
                            Message* message) {
    const Descriptor* descriptor = message->GetDescriptor();
    std::vector<std::string> names;
    for (int i = 0; i < descriptor->real_oneof_decl_count(); ++i) {
      const auto* oneof = descriptor->oneof_decl(i);
      for (int j = 0; j < oneof->field_count(); ++j) {
        const FieldDescriptor* field = oneof->field(j);
        if (field->message_type() == nullptr) continue;
        names.push_back(field->name());
        if (field->name() == node.Scalar()) {
          message->GetReflection()->MutableMessage(message, field);
          return absl::OkStatus();
        }
      }
    }
    if (names.empty()) return WrongType(node, path, "a mapping");
    return ErrorHere(node, path, "UNKNOWN_VALUE",
                     absl::StrCat("no '", node.Scalar(), "' here"),
                     NearestName(node.Scalar(), names),
                     absl::StrCat("one of ", absl::StrJoin(names, ", ")));
  }

  absl::Status ReadField(const YAML::Node& node, const std::string& path,
                         int depth, const FieldDescriptor* field,
                         Message* message) {
    if (field->is_map()) return ReadMap(node, path, field, message);
    if (!field->is_repeated()) {
      return ReadValue(node, path, depth, field, message);
    }
    if (!node.IsSequence()) return WrongType(node, path, "a list");
    for (size_t i = 0; i < node.size(); ++i) {
      const std::string item_path = absl::StrCat(path, "[", i, "]");
      (*positions_)[item_path] = PositionOf(node[i]);
      CONDENSE_RETURN_IF_ERROR(
          ReadValue(node[i], item_path, depth + 1, field, message));
    }
    return absl::OkStatus();
  }

  // Maps of string to string: labels, gates, data.
  absl::Status ReadMap(const YAML::Node& node, const std::string& path,
                       const FieldDescriptor* field, Message* message) {
    if (!node.IsMap()) return WrongType(node, path, "a mapping");
    std::set<std::string> seen;
    for (const auto& item : node) {
      if (!item.first.IsScalar() || !item.second.IsScalar()) {
        return WrongType(item.second, path, "a mapping of names to texts");
      }
      const std::string item_path =
          absl::StrCat(path, ".", item.first.Scalar());
      (*positions_)[item_path] = PositionOf(item.first);
      if (!seen.insert(item.first.Scalar()).second) {
        return ErrorHere(
            item.first, item_path, "DUPLICATE_KEY",
            absl::StrCat("'", item.first.Scalar(), "' stands here twice"));
      }
      const Reflection* reflection = message->GetReflection();
      Message* entry = reflection->AddMessage(message, field);
      const Descriptor* type = field->message_type();
      entry->GetReflection()->SetString(entry, type->map_key(),
                                        item.first.Scalar());
      entry->GetReflection()->SetString(entry, type->map_value(),
                                        item.second.Scalar());
    }
    return absl::OkStatus();
  }

  absl::Status ReadValue(const YAML::Node& node, const std::string& path,
                         int depth, const FieldDescriptor* field,
                         Message* message) {
    const Reflection* reflection = message->GetReflection();
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Message* child = field->is_repeated()
                           ? reflection->AddMessage(message, field)
                           : reflection->MutableMessage(message, field);
      return ReadMessage(node, path, depth, child);
    }
    if (!node.IsScalar()) return WrongType(node, path, "a single value");
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_ENUM:
        return ReadEnum(node, path, field, message);
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return ReadDouble(node, path, field, message);
      case FieldDescriptor::CPPTYPE_INT32:
      case FieldDescriptor::CPPTYPE_INT64:
        return ReadInt(node, path, field, message);
      case FieldDescriptor::CPPTYPE_BOOL:
        return ReadBool(node, path, field, message);
      default:
        if (field->is_repeated()) {
          reflection->AddString(message, field, node.Scalar());
        } else {
          reflection->SetString(message, field, node.Scalar());
        }
        return absl::OkStatus();
    }
  }

  static absl::Status ReadEnum(const YAML::Node& node, const std::string& path,
                               const FieldDescriptor* field, Message* message) {
    const auto* value = field->enum_type()->FindValueByName(
        absl::AsciiStrToUpper(node.Scalar()));
    const bool lower = node.Scalar() == absl::AsciiStrToLower(node.Scalar());
    if (value == nullptr || value->number() == 0 || !lower) {
      const auto values = ValuesOf(field->enum_type());
      return ErrorHere(
          node, path, "UNKNOWN_VALUE",
          absl::StrCat("'", path, "' cannot be '", node.Scalar(), "'"),
          NearestName(absl::AsciiStrToLower(node.Scalar()), values),
          absl::StrCat("one of ", absl::StrJoin(values, ", ")));
    }
    if (field->is_repeated()) {
      message->GetReflection()->AddEnum(message, field, value);
    } else {
      message->GetReflection()->SetEnum(message, field, value);
    }
    return absl::OkStatus();
  }

  static absl::Status ReadDouble(const YAML::Node& node,
                                 const std::string& path,
                                 const FieldDescriptor* field,
                                 Message* message) {
    double value = 0;
    if (!YAML::convert<double>::decode(node, value)) {
      return WrongType(node, path, "a number");
    }
    if (!std::isfinite(value)) {
      return ErrorHere(node, path, "OUT_OF_RANGE",
                       absl::StrCat("'", path, "' must be finite"));
    }
    if (field->is_repeated()) {
      message->GetReflection()->AddDouble(message, field, value);
    } else {
      message->GetReflection()->SetDouble(message, field, value);
    }
    return absl::OkStatus();
  }

  static absl::Status ReadInt(const YAML::Node& node, const std::string& path,
                              const FieldDescriptor* field, Message* message) {
    int64_t value = 0;
    if (!YAML::convert<int64_t>::decode(node, value)) {
      return WrongType(node, path, "a whole number");
    }
    const bool narrow = field->cpp_type() == FieldDescriptor::CPPTYPE_INT32;
    if (narrow && (value > std::numeric_limits<int32_t>::max() ||
                   value < std::numeric_limits<int32_t>::min())) {
      return ErrorHere(node, path, "OUT_OF_RANGE",
                       absl::StrCat("'", path, "' is too large"));
    }
    const Reflection* reflection = message->GetReflection();
    if (field->is_repeated()) {
      narrow ? reflection->AddInt32(message, field, static_cast<int32_t>(value))
             : reflection->AddInt64(message, field, value);
    } else {
      narrow ? reflection->SetInt32(message, field, static_cast<int32_t>(value))
             : reflection->SetInt64(message, field, value);
    }
    return absl::OkStatus();
  }

  static absl::Status ReadBool(const YAML::Node& node, const std::string& path,
                               const FieldDescriptor* field, Message* message) {
    if (node.Scalar() != "true" && node.Scalar() != "false") {
      return WrongType(node, path, "true or false");
    }
    message->GetReflection()->SetBool(message, field, node.Scalar() == "true");
    return absl::OkStatus();
  }

  const std::vector<PlannedKey>& planned_;
  Positions* const positions_;
  int visited_ = 0;
};

// Makes nothing of a document; says where the last one starts.
struct DocumentStart : YAML::EventHandler {
  using Tag = std::string;
  void OnDocumentStart(const YAML::Mark& mark) override {
    line = mark.line + 1;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const Tag&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const Tag&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const Tag&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  int line = 0;
};

absl::StatusOr<YAML::Node> Parse(absl::string_view text) {
  if (text.size() > kTextBytesMax) {
    return MakeError(absl::StatusCode::kInvalidArgument, "TOO_LARGE",
                     "the text is larger than 1 MiB");
  }
  CONDENSE_RETURN_IF_ERROR(CheckCharacters(text));
  // Deep nesting would exhaust yaml-cpp's stack before we see a node: brackets,
  // and "- - - ..." on one line.
  int depth = 0;
  int dashes = 0;
  for (char c : text) {
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    if (c == '-' || c == '?') ++dashes;
    if (c != '-' && c != '?' && c != ' ') dashes = 0;
    if (depth > kDepthMax || dashes > kDashesMax) {
      return MakeError(absl::StatusCode::kInvalidArgument, "TOO_LARGE",
                       "nested too deeply");
    }
  }
  try {
    const std::string copy(text);
    std::istringstream stream(copy);
    YAML::Parser parser(stream);
    DocumentStart start;
    // Not LoadAll: for "a: *" and the like it makes documents without end.
    if (!parser.HandleNextDocument(start)) return YAML::Node();
    if (parser.HandleNextDocument(start)) {
      return MakeError(absl::StatusCode::kInvalidArgument, "BAD_SYNTAX",
                       "the text holds more than one document",
                       {.line = start.line, .column = 1});
    }
    return YAML::Load(copy);
  } catch (const YAML::Exception& error) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "BAD_SYNTAX", error.msg,
        {.line = error.mark.line + 1, .column = error.mark.column + 1});
  }
}

void EmitValue(const Message& message, const FieldDescriptor* field, int index,
               YAML::Emitter* out);

void EmitMessage(const Message& message, YAML::Emitter* out) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  if (fields.empty()) *out << YAML::Flow;
  *out << YAML::BeginMap;
  for (const FieldDescriptor* field : fields) {
    *out << YAML::Key << field->name() << YAML::Value;
    if (!field->is_repeated()) {
      EmitValue(message, field, -1, out);
      continue;
    }
    const int size = message.GetReflection()->FieldSize(message, field);
    if (field->is_map()) {
      *out << YAML::BeginMap;
      for (int i = 0; i < size; ++i) {
        const Message& entry =
            message.GetReflection()->GetRepeatedMessage(message, field, i);
        const Descriptor* type = field->message_type();
        *out << YAML::Key
             << entry.GetReflection()->GetString(entry, type->map_key())
             << YAML::Value
             << entry.GetReflection()->GetString(entry, type->map_value());
      }
      *out << YAML::EndMap;
      continue;
    }
    if (field->message_type() == nullptr) *out << YAML::Flow;
    *out << YAML::BeginSeq;
    for (int i = 0; i < size; ++i) EmitValue(message, field, i, out);
    *out << YAML::EndSeq;
  }
  *out << YAML::EndMap;
}

void EmitValue(const Message& message, const FieldDescriptor* field, int index,
               YAML::Emitter* out) {
  const Reflection* r = message.GetReflection();
  const bool repeated = index >= 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      EmitMessage(repeated ? r->GetRepeatedMessage(message, field, index)
                           : r->GetMessage(message, field),
                  out);
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      *out << absl::AsciiStrToLower(
          (repeated ? r->GetRepeatedEnum(message, field, index)
                    : r->GetEnum(message, field))
              ->name());
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      *out << (repeated ? r->GetRepeatedDouble(message, field, index)
                        : r->GetDouble(message, field));
      break;
    case FieldDescriptor::CPPTYPE_INT32:
      *out << (repeated ? r->GetRepeatedInt32(message, field, index)
                        : r->GetInt32(message, field));
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      *out << (repeated ? r->GetRepeatedInt64(message, field, index)
                        : r->GetInt64(message, field));
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      *out << r->GetBool(message, field);
      break;
    default:
      *out << (repeated ? r->GetRepeatedString(message, field, index)
                        : r->GetString(message, field));
  }
}

}  // namespace

absl::Status YamlToProto(absl::string_view text,
                         const std::vector<PlannedKey>& planned,
                         Message* message, Positions* positions) {
  CONDENSE_ASSIGN_OR_RETURN(YAML::Node root, Parse(text));
  if (!root.IsMap()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "WRONG_TYPE",
                     "the text must be a mapping (key: value)",
                     {.line = 1, .column = 1});
  }
  return Reader(planned, positions).ReadMessage(root, "", 0, message);
}

std::string ProtoToYaml(const Message& message) {
  YAML::Emitter out;
  out.SetDoublePrecision(17);
  EmitMessage(message, &out);
  return absl::StrCat(out.c_str(), "\n");
}

}  // namespace condense::recipe
