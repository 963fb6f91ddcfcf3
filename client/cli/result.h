#ifndef CONDENSE_CLIENT_CLI_RESULT_H_
#define CONDENSE_CLIENT_CLI_RESULT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "condense/v1/job.pb.h"

namespace condense::cli {

// One gate of a report.
struct GateResult {
  std::string name;
  std::optional<double> bound;
  std::optional<double> value;
  bool passed = false;
};

// What a person wants to know first of one artifact; from its report.json. What
// was not measured is absent.
struct Result {
  std::string profile;
  std::string verdict;
  std::optional<int64_t> size_before;
  std::optional<int64_t> size_after;
  std::optional<int64_t> macs_before;
  std::optional<int64_t> macs_after;
  // The name of the quality, e.g. "top1".
  std::string metric;
  std::optional<double> metric_before;
  std::optional<double> metric_after;
  // Share of samples on which the exported file answers as the trained model;
  // of embeddings the mean cosine between the two.
  std::optional<double> agreement;
  std::vector<GateResult> gates;
  std::vector<std::string> warnings;
  // Where the report is, or how to get it.
  std::string report;
};

// Reads the fields above out of report.json; unknown fields are ignored, and
// whatever is missing or of another type stays absent. Takes 64-bit integers as
// numbers and as strings.
Result ReadReport(const v1::Artifact& artifact, absl::string_view report_json);

// A table, one row per result.
std::string ResultTable(const std::vector<Result>& results, bool unicode);

// Gates and warnings of one result, indented lines.
std::string ResultDetail(const Result& result);

}  // namespace condense::cli

#endif  // CONDENSE_CLIENT_CLI_RESULT_H_
