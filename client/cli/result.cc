#include "client/cli/result.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/output.h"
#include "nlohmann/json.hpp"

namespace condense::cli {
namespace {

using Json = nlohmann::json;

// The member, or null.
const Json& Member(const Json& object, const char* key) {
  static const Json* const kNull = new Json();
  if (!object.is_object()) return *kNull;
  auto it = object.find(key);
  return it == object.end() ? *kNull : *it;
}

std::optional<double> Number(const Json& value) {
  if (value.is_number()) return value.get<double>();
  double number = 0;
  if (value.is_string() &&
      absl::SimpleAtod(value.get_ref<const std::string&>(), &number)) {
    return number;
  }
  return std::nullopt;
}

std::optional<int64_t> Integer(const Json& value) {
  const std::optional<double> number = Number(value);
  if (!number.has_value()) return std::nullopt;
  return static_cast<int64_t>(*number);
}

std::string Text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}

// The first quality that the compressed model was measured by.
void ReadQuality(const Json& before, const Json& after, Result* result) {
  for (const char* name :
       {"top1", "accuracy", "rank1", "tar_at_far_1e-3", "miou", "f1"}) {
    const std::optional<double> value = Number(Member(after, name));
    if (!value.has_value()) continue;
    result->metric = name;
    result->metric_after = value;
    result->metric_before = Number(Member(before, name));
    return;
  }
}

void ReadGates(const Json& gates, Result* result) {
  if (!gates.is_array()) return;
  for (const Json& gate : gates) {
    const Json& passed = Member(gate, "passed");
    result->gates.push_back(
        {.name = Text(Member(gate, "name")),
         .bound = Number(Member(gate, "bound")),
         .value = Number(Member(gate, "value")),
         .passed = passed.is_boolean() && passed.get<bool>()});
  }
}

void ReadWarnings(const Json& warnings, Result* result) {
  if (!warnings.is_array()) return;
  for (const Json& warning : warnings) {
    const std::string text =
        warning.is_string() ? Text(warning) : Text(Member(warning, "message"));
    if (!text.empty()) result->warnings.push_back(text);
  }
}

std::string Change(const std::optional<std::string>& before,
                   const std::optional<std::string>& after, bool unicode) {
  if (!after.has_value()) return "-";
  if (!before.has_value()) return *after;
  return absl::StrCat(*before, unicode ? " → " : " -> ", *after);
}

template <typename T, typename F>
std::optional<std::string> Map(const std::optional<T>& value, F format) {
  if (!value.has_value()) return std::nullopt;
  return format(*value);
}

std::string SizeCell(const Result& result, bool unicode) {
  std::string cell = Change(Map(result.size_before, HumanBytes),
                            Map(result.size_after, HumanBytes), unicode);
  if (result.size_before.value_or(0) > 0 && result.size_after.has_value()) {
    absl::StrAppend(&cell, " (",
                    Percent(static_cast<double>(*result.size_after) /
                                static_cast<double>(*result.size_before),
                            0),
                    ")");
  }
  return cell;
}

std::string QualityCell(const Result& result, bool unicode) {
  auto percent = [](double value) { return Percent(value, 2); };
  return Change(Map(result.metric_before, percent),
                Map(result.metric_after, percent), unicode);
}

}  // namespace

Result ReadReport(const v1::Artifact& artifact, absl::string_view report_json) {
  Result result;
  result.profile = artifact.profile();
  result.verdict = v1::Artifact::Verdict_Name(artifact.verdict());
  const Json report = Json::parse(report_json.begin(), report_json.end(),
                                  nullptr, /*allow_exceptions=*/false);
  const Json& baseline = Member(report, "baseline");
  const Json& compressed = Member(report, "compressed");
  result.size_before = Integer(Member(baseline, "size_bytes"));
  result.size_after = Integer(Member(compressed, "size_bytes"));
  result.macs_before = Integer(Member(baseline, "macs"));
  result.macs_after = Integer(Member(compressed, "macs"));
  ReadQuality(Member(baseline, "metrics"), Member(compressed, "metrics"),
              &result);
  result.agreement = Number(Member(Member(report, "agreement"), "top1"));
  if (!result.agreement.has_value()) {
    result.agreement = Number(Member(Member(report, "agreement"), "cosine"));
  }
  ReadGates(Member(report, "gates"), &result);
  ReadWarnings(Member(report, "warnings"), &result);
  return result;
}

std::string ResultTable(const std::vector<Result>& results, bool unicode) {
  std::string metric = "accuracy";
  if (!results.empty() && !results[0].metric.empty()) {
    metric = results[0].metric;
  }
  std::vector<std::vector<std::string>> rows = {
      {"PROFILE", "VERDICT", "SIZE", metric, "AGREEMENT", "REPORT"}};
  for (char& c : rows[0][3]) c = absl::ascii_toupper(c);
  for (const Result& result : results) {
    const std::string agreement =
        result.agreement.has_value()
            ? absl::StrFormat("%.3f", *result.agreement)
            : "-";
    rows.push_back({result.profile, result.verdict, SizeCell(result, unicode),
                    QualityCell(result, unicode), agreement, result.report});
  }
  return Table(rows);
}

std::string ResultDetail(const Result& result) {
  std::string text;
  for (const GateResult& gate : result.gates) {
    absl::StrAppend(&text, "  gate ", gate.name, ": ",
                    gate.passed ? "passed" : "FAILED");
    if (gate.value.has_value()) {
      absl::StrAppend(&text, ", ", absl::StrFormat("%.6g", *gate.value));
    }
    if (gate.bound.has_value()) {
      absl::StrAppend(&text, " of at most ",
                      absl::StrFormat("%.6g", *gate.bound));
    }
    text += "\n";
  }
  if (result.macs_before.value_or(0) > 0 && result.macs_after.has_value()) {
    absl::StrAppend(&text, "  MACs: ",
                    Percent(static_cast<double>(*result.macs_after) /
                                static_cast<double>(*result.macs_before),
                            0),
                    " of the original\n");
  }
  for (const std::string& warning : result.warnings) {
    absl::StrAppend(&text, "  warning: ", warning, "\n");
  }
  return text;
}

}  // namespace condense::cli
