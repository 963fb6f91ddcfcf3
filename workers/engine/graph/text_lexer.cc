#include "workers/engine/graph/text_lexer.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "workers/engine/graph/text.h"

namespace condense::graph {

absl::Status TextError(const TextLexer::Token& token,
                       absl::string_view message) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, "BAD_TEXT",
      absl::StrCat("line ", token.line, ":", token.column, ": ", message),
      {.line = token.line, .column = token.column});
}

void TextLexer::Advance(size_t to) {
  for (; at_ < to && at_ < text_.size(); ++at_) {
    if (text_[at_] == '\n') {
      ++line_;
      column_ = 1;
    } else {
      ++column_;
    }
  }
}

void TextLexer::SkipSpace() {
  while (at_ < text_.size()) {
    if (absl::ascii_isspace(text_[at_])) {
      Advance(at_ + 1);
    } else if (text_[at_] == '#') {
      Advance(std::min(text_.find('\n', at_), text_.size()));
    } else {
      return;
    }
  }
}

void TextLexer::ReadString() {
  size_t end = at_ + 1;
  while (end < text_.size() && text_[end] != '"') {
    end += text_[end] == '\\' ? 2 : 1;
  }
  if (end >= text_.size()) {
    token_.kind = Kind::kBad;
    token_.text = "a string without its end";
    Advance(text_.size());
    return;
  }
  token_.kind = Kind::kString;
  std::string problem;
  const absl::string_view inside = text_.substr(at_ + 1, end - at_ - 1);
  if (inside.find('\\') == absl::string_view::npos) {
    token_.text = std::string(inside);
  } else if (!absl::CUnescape(inside, &token_.text, &problem)) {
    token_.kind = Kind::kBad;
    token_.text = problem;
  }
  Advance(end + 1);
}

void TextLexer::Next() {
  SkipSpace();
  token_ = {Kind::kEnd, "", line_, column_};
  if (at_ >= text_.size()) return;
  const char c = text_[at_];
  if (c == '"') return ReadString();
  if (c == ':' || !IsNameCharacter(c)) {
    const size_t length = c == ':' && At(at_ + 1) == ':' ? 2 : 1;
    token_.kind = Kind::kMark;
    token_.text = std::string(text_.substr(at_, length));
    return Advance(at_ + length);
  }
  size_t end = at_;
  // A colon with nothing behind it is no part of the name.
  while (IsNameCharacter(At(end)) &&
         (At(end) != ':' || IsNameCharacter(At(end + 1)))) {
    ++end;
  }
  token_.kind = Kind::kName;
  token_.text = std::string(text_.substr(at_, end - at_));
  Advance(end);
}

bool TextLexer::Skip(absl::string_view mark) {
  if (!IsMark(mark)) return false;
  Next();
  return true;
}

absl::Status TextLexer::Need(absl::string_view mark) {
  return Skip(mark) ? absl::OkStatus() : Expected(absl::StrCat("'", mark, "'"));
}

absl::StatusOr<std::string> TextLexer::Name(absl::string_view what) {
  if (token_.kind != Kind::kName && token_.kind != Kind::kString) {
    return Expected(what);
  }
  std::string name = std::move(token_.text);
  Next();
  return name;
}

absl::StatusOr<std::string> TextLexer::String() {
  if (token_.kind != Kind::kString) return Expected("a string");
  return Name("a string");
}

absl::Status TextLexer::Error(absl::string_view message) const {
  return TextError(token_, message);
}

absl::Status TextLexer::Expected(absl::string_view what) const {
  switch (token_.kind) {
    case Kind::kBad:
      return Error(token_.text);
    case Kind::kEnd:
      return Error(absl::StrCat("the text ends where ", what, " should stand"));
    default:
      return Error(
          absl::StrCat(what, " should stand here, not '",
                       absl::Utf8SafeCEscape(token_.text.substr(0, 40)), "'"));
  }
}

}  // namespace condense::graph
