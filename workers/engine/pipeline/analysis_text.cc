#include "workers/engine/pipeline/analysis_text.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/human.h"
#include "workers/engine/pipeline/fitted_table.h"

namespace condense::pipeline {
namespace {

using Row = TableRow;

// Operators listed where the terminal limits the layers.
constexpr size_t kOperatorsMax = 8;
double Share(double part, double whole) { return whole > 0 ? part / whole : 0; }

// "12.3 %"; empty for nothing.
std::string ShareText(double part, double whole) {
  if (part <= 0) return "";
  const double share = Share(part, whole);
  return share < 0.0005 ? "<0.1 %" : Percent(share, 1);
}

std::string TimeText(double seconds) {
  if (seconds <= 0) return "";
  const double us = seconds * 1e6;
  if (us < 0.095) return "<0.1 us";
  if (us < 999.5) return absl::StrFormat("%.*f us", us < 99.5 ? 1 : 0, us);
  return absl::StrFormat("%.*f ms", us < 99500 ? 2 : 0, us / 1e3);
}

std::string CountText(int64_t count) {
  return count > 0 ? HumanCount(count) : "";
}

std::string BytesText(int64_t bytes) {
  return bytes > 0 ? HumanBytes(bytes) : "";
}

// What the tables are sorted by.
double KeyOf(const graph::Cost& cost, double seconds, AnalysisSort sort) {
  switch (sort) {
    case AnalysisSort::kMacs:
      return static_cast<double>(cost.macs);
    case AnalysisSort::kActivations:
      return static_cast<double>(cost.activation_bytes);
    case AnalysisSort::kTime:
      return seconds;
    default:
      return static_cast<double>(cost.parameter_bytes);
  }
}

const char* SortName(AnalysisSort sort) {
  switch (sort) {
    case AnalysisSort::kMacs:
      return "by multiply-accumulates";
    case AnalysisSort::kActivations:
      return "by bytes of activations";
    case AnalysisSort::kTime:
      return "by estimated time";
    case AnalysisSort::kOrder:
      return "in the model's order";
    default:
      return "by bytes of weights";
  }
}

// Reasons in the order in which they are met, numbered from 1.
class Notes {
 public:
  std::string Mark(const std::string& reason) {
    auto [it, fresh] = numbers_.emplace(reason, numbers_.size() + 1);
    if (fresh) reasons_.push_back(reason);
    return absl::StrCat("[", it->second, "]");
  }
  std::string Text(int width) const {
    std::string text;
    for (size_t i = 0; i < reasons_.size(); ++i) {
      const std::string line = absl::StrCat("[", i + 1, "] ", reasons_[i]);
      absl::StrAppend(&text, "  ",
                      width > 0 ? CutMiddle(line, width - 2) : line, "\n");
    }
    return text;
  }

 private:
  std::map<std::string, size_t> numbers_;
  std::vector<std::string> reasons_;
};

class Printer {
 public:
  Printer(const graph::Graph& graph, const Analysis& analysis,
          const AnalysisTextOptions& options)
      : graph_(graph), a_(analysis), options_(options) {}

  std::string Text() {
    return absl::StrCat(Summary(), "\n", Operators(), "\n", Layers());
  }

 private:
  std::string Values(const char* what,
                     const std::vector<graph::ValueId>& ids) const {
    std::string text;
    for (graph::ValueId id : ids) {
      const graph::Value& value = graph_.value(id);
      Line(&text, what,
           absl::StrCat(value.name, ": ", graph::DTypeName(value.dtype), " ",
                        graph::ShapeText(value.shape)));
    }
    return text;
  }

  void Line(std::string* text, const std::string& what,
            const std::string& value) const {
    const std::string line = absl::StrFormat("  %-13s%s", what, value);
    absl::StrAppend(text,
                    options_.width > 0 ? CutMiddle(line, options_.width) : line,
                    "\n");
  }

  std::string Summary() const {
    std::string text = absl::StrCat(a_.name, ", ", HumanBytes(a_.size_bytes),
                                    a_.quantized ? ", quantized" : "", "\n");
    absl::StrAppend(&text, Values("input", graph_.inputs()),
                    Values("output", graph_.outputs()));
    Line(
        &text, "parameters",
        absl::StrCat(HumanCount(a_.cost.parameters), " in ",
                     HumanBytes(a_.cost.parameter_bytes), ", ",
                     Percent(Share(static_cast<double>(a_.cost.parameter_bytes),
                                   static_cast<double>(a_.size_bytes)),
                             1),
                     " of the file"));
    Line(&text, "compute",
         absl::StrCat(HumanCount(a_.cost.macs),
                      " multiply-accumulates a sample"));
    Line(&text, "activations",
         absl::StrCat(HumanBytes(a_.cost.activation_bytes),
                      " a sample, the largest ",
                      HumanBytes(a_.largest_activation_bytes)));
    Line(&text, "time", Time());
    Line(&text, "profile",
         absl::StrCat(a_.profile,
                      options_.default_profile ? ", the default" : "",
                      "; time by its roofline, one core"));
    Line(&text, "file size", Sizes());
    Line(&text, "pruning", Pruning());
    Line(&text, "quantization", Quantization());
    return text;
  }

  std::string Time() const {
    std::string text = absl::StrCat("about ", TimeText(a_.seconds));
    if (a_.seconds_quantized) {
      absl::StrAppend(&text, " in float, ", TimeText(*a_.seconds_quantized),
                      " in int8");
    }
    return absl::StrCat(text, " a sample");
  }

  std::string Sizes() const {
    if (!a_.size_8bit || !a_.size_4bit) return "as it is: quantized already";
    const auto predicted = [&](int64_t bytes) {
      return absl::StrCat(HumanBytes(bytes), " (",
                          Percent(Share(static_cast<double>(bytes),
                                        static_cast<double>(a_.size_bytes)),
                                  0),
                          ")");
    };
    return absl::StrCat("predicted ", predicted(*a_.size_8bit), " at 8 bits, ",
                        predicted(*a_.size_4bit), " at 4 bits");
  }

  static std::string LayersText(int64_t count) {
    return absl::StrCat(count, count == 1 ? " layer" : " layers");
  }

  std::string Pruning() const {
    const std::string frozen =
        absl::StrCat(LayersText(CountLayers([](const LayerAnalysis& layer) {
                       return !layer.prune_frozen.empty();
                     })),
                     " frozen");
    if (a_.prunable_channels == 0) {
      return absl::StrCat("no channel can go; ", frozen);
    }
    return absl::StrCat(
        HumanCount(a_.prunable_channels), " channels in ", a_.prunable_groups,
        a_.prunable_groups == 1 ? " group" : " groups", " can go; ", frozen);
  }

  std::string Quantization() const {
    const int64_t yes = CountLayers(
        [](const LayerAnalysis& layer) { return layer.quantizable; });
    const int64_t no = CountLayers([](const LayerAnalysis& layer) {
      return !layer.quantize_frozen.empty();
    });
    return absl::StrCat(LayersText(yes),
                        a_.quantized ? " with integer weights; "
                                     : " can have integer weights; ",
                        no, " in float");
  }

  template <typename Has>
  int64_t CountLayers(Has has) const {
    return std::count_if(a_.layers.begin(), a_.layers.end(), has);
  }

  double Total(AnalysisSort sort) const {
    return KeyOf(a_.cost, a_.seconds, sort);
  }

  // Bytes, multiply-accumulates and time, each with its share.
  void AddFigures(const graph::Cost& cost, double seconds, Row* row) const {
    row->push_back(BytesText(cost.parameter_bytes));
    row->push_back(ShareText(static_cast<double>(cost.parameter_bytes),
                             Total(AnalysisSort::kBytes)));
    row->push_back(CountText(cost.macs));
    row->push_back(
        ShareText(static_cast<double>(cost.macs), Total(AnalysisSort::kMacs)));
    row->push_back(TimeText(seconds));
    row->push_back(ShareText(seconds, a_.seconds));
    row->push_back(BytesText(cost.activation_bytes));
  }

  // Of AddFigures; activations and absolute figures go first.
  static std::vector<TableColumn> FigureColumns() {
    return {{true, 6}, {true, 0}, {true, 4}, {true, 0},
            {true, 5}, {true, 0}, {true, 2}};
  }

  std::string Operators() const {
    std::vector<OperatorAnalysis> sorted = a_.operators;
    const AnalysisSort sort = options_.sort == AnalysisSort::kOrder
                                  ? AnalysisSort::kTime
                                  : options_.sort;
    std::stable_sort(sorted.begin(), sorted.end(), [&](auto& x, auto& y) {
      const double a = KeyOf(x.cost, x.seconds, sort),
                   b = KeyOf(y.cost, y.seconds, sort);
      return a != b ? a > b : x.seconds > y.seconds;
    });
    std::vector<Row> rows = {{"OPERATOR", "COUNT", "PARAMETERS", "BYTES",
                              "OF BYTES", "MACS", "OF MACS", "TIME", "OF TIME",
                              "ACTIVATIONS"}};
    OperatorAnalysis rest;
    const bool cut =
        options_.layers_max > 0 && sorted.size() > kOperatorsMax + 1;
    for (size_t i = 0; i < sorted.size(); ++i) {
      if (cut && i >= kOperatorsMax) {
        rest.count += sorted[i].count;
        rest.cost += sorted[i].cost;
        rest.seconds += sorted[i].seconds;
      } else {
        rows.push_back(OperatorRow(sorted[i]));
      }
    }
    if (cut) {
      rest.op = absl::StrCat(sorted.size() - kOperatorsMax, " others");
      rows.push_back(OperatorRow(rest));
    }
    std::vector<TableColumn> columns = {
        {.cut = true}, {.right = true}, {.right = true, .leave = 3}};
    for (const TableColumn& column : FigureColumns()) columns.push_back(column);
    return FittedTable(std::move(rows), std::move(columns), options_.width);
  }

  Row OperatorRow(const OperatorAnalysis& op) const {
    Row row = {op.op, absl::StrCat(op.count), CountText(op.cost.parameters)};
    AddFigures(op.cost, op.seconds, &row);
    return row;
  }

  std::vector<const LayerAnalysis*> Sorted() const {
    std::vector<const LayerAnalysis*> sorted;
    for (const LayerAnalysis& layer : a_.layers) sorted.push_back(&layer);
    if (options_.sort == AnalysisSort::kOrder) return sorted;
    std::stable_sort(sorted.begin(), sorted.end(),
                     [&](const LayerAnalysis* x, const LayerAnalysis* y) {
                       return KeyOf(x->cost, x->seconds, options_.sort) >
                              KeyOf(y->cost, y->seconds, options_.sort);
                     });
    return sorted;
  }

  std::string Layers() {
    if (a_.layers.empty()) return "  no layer has weights\n";
    const std::vector<const LayerAnalysis*> sorted = Sorted();
    const size_t shown =
        options_.layers_max > 0
            ? std::min<size_t>(sorted.size(), options_.layers_max)
            : sorted.size();
    std::vector<Row> rows = {{"LAYER", "OPERATOR", "OUTPUT", "PARAMETERS",
                              "BYTES", "OF BYTES", "MACS", "OF MACS", "TIME",
                              "OF TIME", "ACTIVATIONS", "PRUNE", "QUANTIZE"}};
    for (size_t i = 0; i < shown; ++i) rows.push_back(LayerRow(*sorted[i]));
    std::vector<TableColumn> columns = {{.cut = true},
                                        {.cut = true},
                                        {.leave = 1},
                                        {.right = true, .leave = 3}};
    for (const TableColumn& column : FigureColumns()) columns.push_back(column);
    columns.push_back({});
    columns.push_back({});
    std::string text = absl::StrCat(
        "  ", LayersText(static_cast<int64_t>(sorted.size())), ", ",
        SortName(options_.sort), "\n",
        FittedTable(std::move(rows), std::move(columns), options_.width));
    if (shown < sorted.size()) absl::StrAppend(&text, Left(sorted, shown));
    const std::string notes = notes_.Text(options_.width);
    return notes.empty() ? text : absl::StrCat(text, "\n", notes);
  }

  // ".. and 20 more with 1.2 % ..."
  std::string Left(const std::vector<const LayerAnalysis*>& sorted,
                   size_t shown) const {
    graph::Cost cost;
    double seconds = 0;
    for (size_t i = shown; i < sorted.size(); ++i) {
      cost += sorted[i]->cost;
      seconds += sorted[i]->seconds;
    }
    return absl::StrCat("  .. and ", sorted.size() - shown, " more: ",
                        Percent(Share(static_cast<double>(cost.parameter_bytes),
                                      Total(AnalysisSort::kBytes)),
                                1),
                        " of the bytes, ",
                        Percent(Share(seconds, a_.seconds), 1),
                        " of the time (all: --all)\n");
  }

  Row LayerRow(const LayerAnalysis& layer) {
    Row row = {layer.name, layer.op, layer.shape,
               CountText(layer.cost.parameters)};
    AddFigures(layer.cost, layer.seconds, &row);
    row.push_back(PruneCell(layer));
    row.push_back(layer.quantizable ? "int8"
                  : layer.quantize_frozen.empty()
                      ? ""
                      : "float " + notes_.Mark(layer.quantize_frozen));
    return row;
  }

  std::string PruneCell(const LayerAnalysis& layer) {
    if (layer.prunable_channels > 0) {
      return absl::StrCat(
          layer.prunable_channels,
          layer.prune_group == layer.name
              ? ""
              : " " + notes_.Mark("the same channels as " + layer.prune_group +
                                  ", which go together"));
    }
    return layer.prune_frozen.empty()
               ? ""
               : "frozen " + notes_.Mark(layer.prune_frozen);
  }

  const graph::Graph& graph_;
  const Analysis& a_;
  const AnalysisTextOptions& options_;
  Notes notes_;
};

}  // namespace

std::string AnalysisText(const graph::Graph& graph, const Analysis& analysis,
                         const AnalysisTextOptions& options) {
  return Printer(graph, analysis, options).Text();
}

}  // namespace condense::pipeline
