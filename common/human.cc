#include "common/human.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace condense {
namespace {

// 1000 and more with a unit, three digits.
std::string Scaled(int64_t number, const char* const (&units)[5]) {
  double value = static_cast<double>(number) / 1000;
  size_t unit = 0;
  // 999.5 would be printed as 1000.
  while (value >= 999.5 && unit + 1 < std::size(units)) {
    value /= 1000;
    ++unit;
  }
  const int digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return absl::StrFormat("%.*f %s", digits, value, units[unit]);
}

// The first `columns` characters of UTF-8 text.
std::string Prefix(const std::string& text, int columns) {
  size_t end = 0;
  while (end < text.size()) {
    size_t next = end + 1;
    while (next < text.size() && (text[next] & 0xC0) == 0x80) ++next;
    if (columns-- == 0) break;
    end = next;
  }
  return text.substr(0, end);
}

}  // namespace

std::string HumanBytes(int64_t bytes) {
  if (bytes < 1000) return absl::StrCat(bytes, " B");
  return Scaled(bytes, {"kB", "MB", "GB", "TB", "PB"});
}

std::string HumanCount(int64_t count) {
  if (count < 1000) return absl::StrCat(count);
  return Scaled(count, {"k", "M", "G", "T", "P"});
}

std::string Percent(double fraction, int digits) {
  return absl::StrFormat("%.*f %%", digits, fraction * 100);
}

int DisplayWidth(const std::string& text) {
  return static_cast<int>(
      std::count_if(text.begin(), text.end(), [](unsigned char c) {
        return (c & 0xC0) != 0x80;  // Not the second or later byte of one.
      }));
}

std::string CutMiddle(const std::string& text, int width) {
  constexpr int kDots = 2;
  const int have = DisplayWidth(text);
  if (have <= width) return text;
  if (width <= kDots) return std::string(std::max(0, width), '.');
  const int head = (width - kDots) / 3, tail = width - kDots - head;
  return absl::StrCat(Prefix(text, head), "..",
                      text.substr(Prefix(text, have - tail).size()));
}

std::string Table(const std::vector<std::vector<std::string>>& rows, int indent,
                  const std::vector<size_t>& right) {
  std::vector<int> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], DisplayWidth(row[i]));
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line(static_cast<size_t>(indent), ' ');
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string space(
          static_cast<size_t>(widths[i] - DisplayWidth(row[i])), ' ');
      const bool ends = std::find(right.begin(), right.end(), i) != right.end();
      absl::StrAppend(&line, ends ? space : "", row[i], ends ? "" : space,
                      i + 1 == row.size() ? "" : "  ");
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace condense
