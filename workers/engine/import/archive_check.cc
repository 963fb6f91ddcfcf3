#include "workers/engine/import/archive_check.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/import/pickle_check.h"

namespace condense::torchscript_import {
namespace {

constexpr int kEntriesMax = 100'000;
constexpr int64_t kGrowthMax = 4;
constexpr int64_t kSlackBytes = int64_t{64} << 20;
// Of all pickles and programs together; weights stand beside them.
constexpr int64_t kTextBytesMax = int64_t{256} << 20;

// What LibTorch's compiler recurses over.
constexpr int kBracketsMax = 100;
constexpr int kIndentMax = 400;
constexpr int kOperatorsMax = 1'000;
constexpr int kElifMax = 200;

struct Close {
  void operator()(archive* reader) const { archive_read_free(reader); }
};

absl::Status Bad(absl::string_view reason, const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message,
                   {.hint = "save the model again with torch.jit.save"});
}

absl::Status CheckName(const std::string& name) {
  const bool leaves = name.empty() || name[0] == '/' ||
                      absl::StartsWith(name, "../") ||
                      absl::StrContains(name, "/../");
  if (!leaves) return absl::OkStatus();
  return Bad("NOT_A_MODEL", absl::StrCat("the archive has a member '", name,
                                         "' outside of its folder"));
}

// The archive's members without its own folder: sizes of all, contents of
// pickles and programs.
struct Members {
  std::map<std::string, int64_t> sizes;
  std::map<std::string, std::string> texts;
};

// Those that LibTorch reads; a traced archive also keeps the inputs that it was
// traced with, which nothing here asks for.
bool IsPickle(absl::string_view name) {
  return name == "data.pkl" || name == "constants.pkl" ||
         absl::EndsWith(name, ".debug_pkl");
}

absl::StatusOr<std::string> Content(archive* reader, int64_t size) {
  std::string content(static_cast<size_t>(size), '\0');
  size_t have = 0;
  while (have < content.size()) {
    const auto read =
        archive_read_data(reader, content.data() + have, content.size() - have);
    if (read <= 0) return Bad("NOT_A_MODEL", "the archive is damaged");
    have += static_cast<size_t>(read);
  }
  return content;
}

absl::StatusOr<Members> ReadMembers(archive* reader, int64_t limit) {
  Members members;
  int64_t total = 0, text = 0;
  int result = ARCHIVE_OK;
  archive_entry* entry = nullptr;
  while ((result = archive_read_next_header(reader, &entry)) == ARCHIVE_OK) {
    const char* path = archive_entry_pathname(entry);
    const std::string full = path == nullptr ? "" : path;
    CONDENSE_RETURN_IF_ERROR(CheckName(full));
    const int64_t size = archive_entry_size(entry);
    const std::string name = full.substr(full.find('/') + 1);
    const bool is_text = IsPickle(name) || absl::StartsWith(name, "code/");
    if (is_text) text += size;
    total += size;
    if (size < 0 || total > limit || text > kTextBytesMax ||
        members.sizes.size() >= kEntriesMax) {
      return Bad("ARCHIVE_TOO_LARGE",
                 absl::StrCat("the archive unpacks to more than ", limit,
                              " bytes or ", kEntriesMax, " members"));
    }
    if (!members.sizes.emplace(name, size).second) {
      return Bad("NOT_A_MODEL", "the archive has two members of one name");
    }
    if (!is_text) continue;
    CONDENSE_ASSIGN_OR_RETURN(members.texts[name], Content(reader, size));
  }
  if (result != ARCHIVE_EOF || members.sizes.count("data.pkl") == 0 ||
      members.texts.lower_bound("code/") == members.texts.end()) {
    return Bad("NOT_A_MODEL",
               "the file is no TorchScript archive, or not a whole one");
  }
  return members;
}

// Storages of "data.pkl" lie in "data/", and so on.
absl::Status CheckText(const std::string& name, const std::string& text,
                       const Members& members) {
  if (!IsPickle(name)) return CheckCode(text);
  const std::string folder(absl::StripSuffix(name, ".pkl"));
  return CheckPickle(
      text, [&](const std::string& key) -> std::optional<int64_t> {
        auto it = members.sizes.find(absl::StrCat(folder, "/", key));
        if (it == members.sizes.end()) return std::nullopt;
        return it->second;
      });
}

// Signs that start a unary or binary operation in the printed language.
bool IsOperator(char c) { return absl::StrContains("+-*/%<>=!&|^~@", c); }

absl::Status TooDeep(absl::string_view what) {
  return Bad("TOO_LARGE", absl::StrCat("a program in the archive has ", what));
}

// Counts what one logical line makes the compiler recurse over.
class LineCheck {
 public:
  absl::Status Add(absl::string_view line) {
    // Printed programs have none, and they could hide brackets from us.
    if (absl::StrContains(line, "\"\"\"") || absl::StrContains(line, "'''")) {
      return Bad("NOT_A_MODEL", "a program in the archive has a long string");
    }
    char quote = '\0';
    for (size_t i = 0; i < line.size(); ++i) {
      const char c = line[i];
      if (quote != '\0') {
        if (c == '\\') {
          ++i;
        } else if (c == quote) {
          quote = '\0';
        }
        continue;
      }
      if (c == '#') break;
      if (c == '"' || c == '\'') quote = c;
      if (absl::StrContains("([{", c)) ++open_;
      if (absl::StrContains(")]}", c)) --open_;
      if (IsOperator(c)) ++operators_;
      if (c == ' ' && IsWord(line.substr(i + 1))) ++operators_;
      if (open_ > kBracketsMax) return TooDeep("brackets nested too deep");
      if (operators_ > kOperatorsMax) return TooDeep("too long an expression");
    }
    const bool goes_on = absl::EndsWith(line, "\\");
    if (open_ <= 0 && !goes_on) open_ = operators_ = 0;
    return absl::OkStatus();
  }

 private:
  static bool IsWord(absl::string_view text) {
    for (const char* word : {"not ", "and ", "or ", "if ", "in ", "is "}) {
      if (absl::StartsWith(text, word)) return true;
    }
    return false;
  }

  int open_ = 0;
  int operators_ = 0;
};

}  // namespace

bool IsArchive(absl::string_view bytes) {
  return absl::StartsWith(bytes, absl::string_view("PK\x03\x04", 4));
}

absl::Status CheckCode(absl::string_view source) {
  LineCheck check;
  int elif = 0;
  for (absl::string_view line : absl::StrSplit(source, '\n')) {
    const size_t indent = line.find_first_not_of(" \t");
    if (indent == absl::string_view::npos) continue;
    if (indent > kIndentMax) return TooDeep("blocks nested too deep");
    const absl::string_view text = line.substr(indent);
    if (absl::StartsWith(text, "def __setstate__")) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, "UNSUPPORTED_MODULE",
          "a module of the model is rebuilt by code of its own (__setstate__), "
          "as quantized modules are; loading a model runs no code here",
          {.hint = "save the float model with torch.jit.save"});
    }
    if (absl::StartsWith(text, "elif") && ++elif > kElifMax) {
      return TooDeep("too many branches");
    }
    CONDENSE_RETURN_IF_ERROR(check.Add(text));
  }
  return absl::OkStatus();
}

absl::Status CheckArchive(absl::string_view bytes) {
  std::unique_ptr<archive, Close> reader(archive_read_new());
  archive_read_support_format_zip_seekable(reader.get());
  if (archive_read_open_memory(reader.get(), bytes.data(), bytes.size()) !=
      ARCHIVE_OK) {
    return Bad("NOT_A_MODEL", "the file is no whole zip archive");
  }
  const int64_t limit =
      kGrowthMax * static_cast<int64_t>(bytes.size()) + kSlackBytes;
  CONDENSE_ASSIGN_OR_RETURN(const Members members,
                            ReadMembers(reader.get(), limit));
  for (const auto& [name, text] : members.texts) {
    CONDENSE_RETURN_IF_ERROR(CheckText(name, text, members));
  }
  return absl::OkStatus();
}

}  // namespace condense::torchscript_import
