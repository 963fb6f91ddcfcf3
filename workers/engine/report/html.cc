#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/log.h"
#include "workers/engine/report/report.h"

namespace condense::report {
namespace {

constexpr char kStyle[] = R"css(
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5d6b7c;--line:#dde3ea;--card:#fff;--page:#f5f7fa;--good:#14804a;--bad:#b42318;--bar:#3b6fd4;--bar2:#c3d2ef}
@media(prefers-color-scheme:dark){:root{--ink:#e8edf4;--soft:#98a6b8;--line:#2c3644;--card:#171d26;--page:#0f141b;--good:#4cc38a;--bad:#ff8579;--bar:#6b9bff;--bar2:#2b3f66}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 20px 64px}h1{font-size:24px;margin:0}h2{font-size:17px;margin:36px 0 10px}
.sub{color:var(--soft);margin:4px 0 0}.verdict{display:inline-block;padding:2px 12px;border-radius:99px;font-weight:600;font-size:14px;margin-left:10px;vertical-align:3px;color:#fff}
.good{background:var(--good)}.bad{background:var(--bad)}.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(220px,1fr));gap:14px;margin-top:22px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}.card .k{color:var(--soft);font-size:13px}.card .v{font-size:24px;font-weight:600;line-height:1.3}
.card .d{font-size:13px;color:var(--soft)}.meter{height:6px;border-radius:3px;background:var(--bar2);margin-top:8px;overflow:hidden}.meter i{display:block;height:100%;background:var(--bar)}
table{width:100%;border-collapse:collapse;background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:hidden;font-size:14px}
th{font-weight:600;text-align:left;color:var(--soft);font-size:13px}th,td{padding:6px 10px;border-bottom:1px solid var(--line)}tr:last-child td{border-bottom:0}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.wrap{overflow-x:auto}.ok{color:var(--good);font-weight:600}.no{color:var(--bad);font-weight:600}
ul{margin:0;padding-left:20px}svg{display:block;width:100%;height:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}
svg text{fill:var(--soft);font:11px system-ui,sans-serif}svg .grid{stroke:var(--line)}svg .curve{fill:none;stroke:var(--bar);stroke-width:1.6}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(340px,1fr));gap:14px}figure{margin:0}figcaption{font-size:13px;color:var(--soft);margin-bottom:4px}
)css";

std::string Escape(const std::string& text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string Bytes(double bytes) {
  if (bytes < 1024) return absl::StrFormat("%.0f B", bytes);
  if (bytes < 1024 * 1024) return absl::StrFormat("%.1f KiB", bytes / 1024);
  return absl::StrFormat("%.2f MiB", bytes / (1024 * 1024));
}

std::string Count(double count) {
  if (count < 1e3) return absl::StrFormat("%.0f", count);
  if (count < 1e6) return absl::StrFormat("%.1f k", count / 1e3);
  if (count < 1e9) return absl::StrFormat("%.2f M", count / 1e6);
  return absl::StrFormat("%.2f G", count / 1e9);
}

std::string Percent(double fraction) {
  return absl::StrFormat("%.2f %%", 100 * fraction);
}

template <typename T>
std::string Cell(const std::optional<T>& value, const char* format) {
  if (!value.has_value()) return "<td class=n>–</td>";
  using Format = absl::ParsedFormat<absl::FormatConversionCharSet::kFloating>;
  const auto parsed = Format::New(format);
  CONDENSE_CHECK(parsed != nullptr, format);
  return absl::StrCat("<td class=n>",
                      absl::StrFormat(*parsed, static_cast<double>(*value)),
                      "</td>");
}

std::string TextCell(const std::string& text) {
  return absl::StrCat("<td>", text.empty() ? "–" : Escape(text), "</td>");
}

// A figure before and after, with a meter of what is left.
std::string ShrinkCard(const char* title, const std::optional<int64_t>& before,
                       const std::optional<int64_t>& after,
                       std::string (*format)(double)) {
  if (!before.has_value() || !after.has_value() || *before <= 0) return "";
  const double share = static_cast<double>(*after) / *before;
  return absl::StrCat(
      "<div class=card><div class=k>", title, "</div><div class=v>",
      format(*after), "</div><div class=d>", Percent(share), " of ",
      format(*before), "</div><div class=meter><i style=\"width:",
      absl::StrFormat("%.1f", 100 * std::min(share, 1.0)),
      "%\"></i></div></div>");
}

// What a metric is called on the page.
std::string MetricTitle(const std::string& name) {
  if (name == "eer") return "equal error rate";
  if (name == "tar_at_far_1e-3") return "true accepts at 0.1 % false accepts";
  if (name == "rank1") return "rank-1";
  return Escape(name);
}

std::string MetricCards(const Report& report) {
  std::string out;
  for (const auto& [name, after] : report.compressed.metrics) {
    auto before = report.baseline.metrics.find(name);
    if (before == report.baseline.metrics.end() || name == "loss") continue;
    // The same figure under its general name.
    if (name == "accuracy" && report.compressed.metrics.count("top1") > 0) {
      continue;
    }
    // Without the sign of a zero.
    const double points =
        std::round(1e4 * (after - before->second)) / 100 + 0.0;
    absl::StrAppend(&out, "<div class=card><div class=k>", MetricTitle(name),
                    "</div><div class=v>", Percent(after),
                    "</div><div class=d>",
                    absl::StrFormat("%+.2f points, was ", points),
                    Percent(before->second), "</div></div>");
  }
  return out;
}

std::string AgreementCard(const Report& report) {
  if (!report.agreement.has_value()) return "";
  const Agreement& agreement = *report.agreement;
  std::string value = "–", detail;
  if (agreement.top1.has_value()) {
    value = Percent(*agreement.top1);
  } else if (agreement.cosine.has_value()) {
    value = absl::StrFormat("%.4f", *agreement.cosine);
    detail = "mean cosine, ";
  }
  absl::StrAppend(&detail, agreement.samples, " samples, ",
                  Escape(agreement.runtime));
  if (agreement.max_lsb.has_value()) {
    absl::StrAppend(&detail,
                    absl::StrFormat(", max %g LSB", *agreement.max_lsb));
  }
  return absl::StrCat(
      "<div class=card><div class=k>file agrees with simulation</div><div "
      "class=v>",
      value, "</div><div class=d>", detail, "</div></div>");
}

std::string EmbeddingCard(const Report& report) {
  if (!report.embedding.has_value()) return "";
  const Embedding& embedding = *report.embedding;
  return absl::StrFormat(
      "<div class=card><div class=k>cosine with the original's "
      "embedding</div><div class=v>%.4f</div><div class=d>mean of %d images, "
      "lowest %.4f; %d pairs show the same, %d do not</div></div>",
      embedding.cosine_mean, embedding.samples, embedding.cosine_min,
      embedding.genuine_pairs, embedding.impostor_pairs);
}

std::string Cards(const Report& report) {
  return absl::StrCat("<div class=cards>", MetricCards(report),
                      ShrinkCard("file size", report.baseline.size_bytes,
                                 report.compressed.size_bytes, Bytes),
                      ShrinkCard("multiply-accumulates", report.baseline.macs,
                                 report.compressed.macs, Count),
                      ShrinkCard("parameters", report.baseline.parameters,
                                 report.compressed.parameters, Count),
                      EmbeddingCard(report), AgreementCard(report), "</div>");
}

std::string GateTable(const Report& report) {
  if (report.gates.empty()) {
    return "<h2>Gates</h2><p class=sub>The recipe sets none, so the verdict is "
           "PASSED.</p>";
  }
  std::string out =
      "<h2>Gates</h2><div class=wrap><table><tr><th>gate<th class=n>bound<th "
      "class=n>value<th>";
  for (const Gate& gate : report.gates) {
    absl::StrAppend(&out, "<tr>", TextCell(gate.name),
                    Cell(std::optional<double>(gate.bound), "%g"),
                    Cell(std::optional<double>(gate.value), "%g"),
                    "<td class=", gate.passed ? "ok>holds" : "no>broken",
                    gate.estimated ? " (estimated)" : "", "</td>");
  }
  return out + "</table></div>";
}

std::string StageTable(const Report& report) {
  std::string out =
      "<h2>Stages</h2><div class=wrap><table><tr><th>stage<th>technique<th "
      "class=n>seconds<th class=n>steps<th class=n>metric before<th "
      "class=n>after";
  for (const Stage& stage : report.stages) {
    absl::StrAppend(&out, "<tr>", TextCell(stage.name),
                    TextCell(stage.ended.empty()
                                 ? stage.technique
                                 : absl::StrCat(stage.technique, ", ended by ",
                                                stage.ended)),
                    Cell(std::optional<double>(stage.seconds), "%.3g"),
                    "<td class=n>", stage.steps, "</td>",
                    Cell(stage.metric_before, "%.4g"),
                    Cell(stage.metric_after, "%.4g"));
  }
  return out + "</table></div>";
}

std::string ChannelsCell(const Layer& layer) {
  if (!layer.channels_before.has_value()) return "<td class=n>–</td>";
  const int64_t after = layer.channels_after.value_or(*layer.channels_before);
  if (after == *layer.channels_before) {
    return absl::StrCat("<td class=n>", after, "</td>");
  }
  return absl::StrCat("<td class=n>", *layer.channels_before, " → ", after,
                      "</td>");
}

std::string LayerTable(const Report& report) {
  if (report.layers.empty()) return "";
  std::string out =
      "<h2>Layers</h2><div class=wrap><table><tr><th>name<th>op<th "
      "class=n>channels<th class=n>weight bits<th class=n>activation bits<th "
      "class=n>weight SNR dB<th class=n>bytes<th>left alone because";
  for (const Layer& layer : report.layers) {
    absl::StrAppend(&out, "<tr>", TextCell(layer.name), TextCell(layer.op),
                    ChannelsCell(layer), Cell(layer.bits_weight, "%.0f"),
                    Cell(layer.bits_activation, "%.0f"),
                    Cell(layer.snr_db, "%.1f"), Cell(layer.size_bytes, "%.0f"),
                    TextCell(layer.frozen_reason));
  }
  return out + "</table></div>";
}

std::string Plot(const std::string& name,
                 const std::vector<CurvePoint>& points) {
  constexpr double kWidth = 480, kHeight = 180, kLeft = 48, kBottom = 22;
  double low = std::numeric_limits<double>::max(), high = -low;
  for (const CurvePoint& p : points) {
    low = std::min(low, p.value);
    high = std::max(high, p.value);
  }
  if (high - low < 1e-12) high = low + 1;
  const double first = points.front().step;
  const double span = std::max<double>(1, points.back().step - first);
  std::string path;
  for (const CurvePoint& p : points) {
    const double x = kLeft + (kWidth - kLeft - 10) * (p.step - first) / span;
    const double y =
        10 + (kHeight - kBottom - 10) * (high - p.value) / (high - low);
    absl::StrAppend(&path, path.empty() ? "M" : "L",
                    absl::StrFormat("%.1f,%.1f", x, y));
  }
  const double floor = kHeight - kBottom;
  return absl::StrFormat(
      "<figure><figcaption>%s</figcaption><svg viewBox=\"0 0 %g %g\" role=img>"
      "<line class=grid x1=%g y1=10 x2=%g y2=10 /><line class=grid x1=%g y1=%g "
      "x2=%g y2=%g /><text x=4 y=14>%.3g</text><text x=4 y=%g>%.3g</text>"
      "<text x=%g y=%g>step %g</text><text x=%g y=%g text-anchor=end>%g</text>"
      "<path class=curve d=\"%s\"/></svg></figure>",
      Escape(name), kWidth, kHeight, kLeft, kWidth - 10, kLeft, floor,
      kWidth - 10, floor, high, floor, low, kLeft, kHeight - 6, first,
      kWidth - 10, kHeight - 6, first + span, path);
}

std::string Plots(const Report& report) {
  std::string plots;
  for (const auto& [name, points] : report.curves) {
    // A model that was only measured, not trained, has its points at one step.
    if (points.empty() || points.back().step == points.front().step) continue;
    absl::StrAppend(&plots, Plot(name, points));
  }
  if (plots.empty()) return "";
  return absl::StrCat("<h2>Training</h2><div class=plots>", plots, "</div>");
}

std::string Warnings(const Report& report) {
  if (report.warnings.empty()) return "";
  std::string out = "<h2>Warnings</h2><ul>";
  for (const std::string& warning : report.warnings) {
    absl::StrAppend(&out, "<li>", Escape(warning));
  }
  return out + "</ul>";
}

std::string Provenance(const Report& report) {
  std::string out = absl::StrCat(
      "<h2>How it was made</h2><div class=wrap><table><tr><td>seed<td>",
      report.seed, "<tr><td>device<td>", Escape(report.device));
  for (const auto& [name, version] : report.toolchain) {
    absl::StrAppend(&out, "<tr><td>", Escape(name), "<td>", Escape(version));
  }
  return out + "</table></div>";
}

}  // namespace

std::string ToHtml(const Report& report) {
  const std::string title =
      Escape(report.job.empty() ? "condense" : report.job);
  return absl::StrCat(
      "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport "
      "content=\"width=device-width,initial-scale=1\"><title>",
      title, " · ", Escape(report.profile), "</title><style>", kStyle,
      "</style><main><h1>", title, "<span class=\"verdict ",
      report.verdict == "PASSED" ? "good" : "bad", "\">",
      Escape(report.verdict), report.cut ? ", cut by the time budget" : "",
      "</span></h1><p class=sub>", Escape(report.profile),
      report.profile_title.empty() ? "" : " · ", Escape(report.profile_title),
      "</p>", Cards(report), GateTable(report), Warnings(report),
      StageTable(report), Plots(report), LayerTable(report), Provenance(report),
      "</main></html>\n");
}

}  // namespace condense::report
