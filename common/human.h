#ifndef CONDENSE_COMMON_HUMAN_H_
#define CONDENSE_COMMON_HUMAN_H_

#include <cstdint>
#include <string>
#include <vector>

namespace condense {

// Figures and tables as people read them on a terminal.

// "412 kB", "1.20 MB": decimal units, three digits.
std::string HumanBytes(int64_t bytes);
// "412", "1.20 k", "3.45 M": the same for plain numbers.
std::string HumanCount(int64_t count);
// "98.1 %" of .981; `digits` after the point.
std::string Percent(double fraction, int digits);

// Columns in width of their longest cell, two spaces apart; cells count as wide
// as they have characters. The first row is the heading. Every row ends with a
// newline; `indent` spaces stand before each. Columns that `right` names by
// index end where the others begin.
std::string Table(const std::vector<std::vector<std::string>>& rows,
                  int indent = 0, const std::vector<size_t>& right = {});

// How many columns UTF-8 text takes on a terminal, for text without wide or
// combining characters and without escapes.
int DisplayWidth(const std::string& text);

// The text in at most `width` columns: what does not fit is cut out of its
// middle, where ".." stands then. Twice as much stays of its end, which tells
// names of one model apart.
std::string CutMiddle(const std::string& text, int width);

}  // namespace condense

#endif  // CONDENSE_COMMON_HUMAN_H_
