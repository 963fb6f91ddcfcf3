#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_TEXT_LEXER_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_TEXT_LEXER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace condense::graph {

// The words of the text form (text.h), one after the other. Not thread-safe.
class TextLexer {
 public:
  enum class Kind { kName, kString, kMark, kEnd, kBad };
  struct Token {
    Kind kind = Kind::kEnd;
    // A name or number, a string without its quotes and escapes, a mark ("{",
    // "::", ...), or what is wrong.
    std::string text;
    int line = 1;
    int column = 1;
  };

  // `text` must outlive the lexer.
  explicit TextLexer(absl::string_view text) : text_(text) { Next(); }

  const Token& token() const { return token_; }
  void Next();
  bool IsMark(absl::string_view mark) const {
    return token_.kind == Kind::kMark && token_.text == mark;
  }
  bool IsName(absl::string_view name) const {
    return token_.kind == Kind::kName && token_.text == name;
  }
  // Goes on if the token is this mark.
  bool Skip(absl::string_view mark);
  // What must stand here, and goes on: this mark, a name (in quotes or not; the
  // error says `what`), a string.
  absl::Status Need(absl::string_view mark);
  absl::StatusOr<std::string> Name(absl::string_view what);
  absl::StatusOr<std::string> String();
  // BAD_TEXT at the token.
  absl::Status Error(absl::string_view message) const;
  // BAD_TEXT at the token: another was expected.
  absl::Status Expected(absl::string_view what) const;

 private:
  char At(size_t i) const { return i < text_.size() ? text_[i] : '\0'; }
  void SkipSpace();
  void ReadString();
  void Advance(size_t to);

  absl::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
  int column_ = 1;
  Token token_;
};

absl::Status TextError(const TextLexer::Token& token,
                       absl::string_view message);

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_TEXT_LEXER_H_
