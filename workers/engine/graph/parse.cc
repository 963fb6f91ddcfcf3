#include "workers/engine/graph/parse.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "workers/engine/graph/parse_tensor.h"
#include "workers/engine/graph/text_lexer.h"

namespace condense::graph {
namespace {

using Kind = TextLexer::Kind;
using Token = TextLexer::Token;

// Subgraphs in subgraphs.
constexpr int kDepthMax = 32;

bool LooksFloating(const std::string& text) {
  return text.find_first_of(".en") != std::string::npos;
}

// One "graph ... { ... }".
class GraphParser {
 public:
  GraphParser(TextLexer* lexer, int depth) : lexer_(*lexer), depth_(depth) {}

  absl::StatusOr<Graph> Run() {
    CONDENSE_RETURN_IF_ERROR(Header());
    while (!lexer_.IsMark("}")) CONDENSE_RETURN_IF_ERROR(Statement());
    lexer_.Next();
    for (const auto& [id, token] : read_) {
      if (made_.count(id) == 0) {
        return TextError(
            token, absl::StrCat("nothing makes '", graph_.value(id).name, "'"));
      }
    }
    return std::move(graph_);
  }

 private:
  absl::Status Header() {
    if (depth_ > kDepthMax) return lexer_.Error("graphs nest too deep");
    if (!lexer_.IsName("graph")) return lexer_.Expected("'graph'");
    lexer_.Next();
    CONDENSE_ASSIGN_OR_RETURN(graph_.name, lexer_.Name("the graph's name"));
    if (!lexer_.IsName("opset")) return lexer_.Expected("'opset'");
    lexer_.Next();
    int64_t opset = 0;
    if (lexer_.token().kind != Kind::kName ||
        !absl::SimpleAtoi(lexer_.token().text, &opset) || opset < 1 ||
        opset > 1000) {
      return lexer_.Expected("an opset's number");
    }
    graph_.opset = static_cast<int>(opset);
    lexer_.Next();
    return lexer_.Need("{");
  }

  absl::Status Statement() {
    if (lexer_.IsName("doc")) {
      lexer_.Next();
      CONDENSE_ASSIGN_OR_RETURN(graph_.doc, lexer_.String());
      return absl::OkStatus();
    }
    if (lexer_.IsName("metadata")) return Metadata();
    if (lexer_.IsName("input")) return Input();
    if (lexer_.IsName("const")) return Constant();
    if (lexer_.IsName("output")) {
      lexer_.Next();
      CONDENSE_ASSIGN_OR_RETURN(const ValueId id, Read());
      graph_.AddOutput(id);
      return absl::OkStatus();
    }
    return NodeStatement();
  }

  absl::Status Metadata() {
    lexer_.Next();
    CONDENSE_ASSIGN_OR_RETURN(const std::string key, lexer_.Name("a key"));
    CONDENSE_RETURN_IF_ERROR(lexer_.Need("="));
    CONDENSE_ASSIGN_OR_RETURN(graph_.metadata[key], lexer_.String());
    return absl::OkStatus();
  }

  absl::Status Input() {
    lexer_.Next();
    CONDENSE_ASSIGN_OR_RETURN(const ValueId id, Made());
    std::vector<ValueId> inputs = graph_.inputs();
    inputs.push_back(id);
    graph_.SetInputs(std::move(inputs));
    return absl::OkStatus();
  }

  absl::Status Constant() {
    lexer_.Next();
    CONDENSE_ASSIGN_OR_RETURN(const ValueId id, MakeName());
    CONDENSE_RETURN_IF_ERROR(lexer_.Need(":"));
    CONDENSE_ASSIGN_OR_RETURN(Tensor tensor, ParseTensor(lexer_));
    graph_.SetConstant(id, std::move(tensor));
    return absl::OkStatus();
  }

  // y: float32 [2], _ = domain::Op(x, _) {key=value} @ name
  absl::Status NodeStatement() {
    const Token start = lexer_.token();
    std::vector<ValueId> outputs, inputs;
    while (!lexer_.Skip("=")) {
      if (!outputs.empty()) CONDENSE_RETURN_IF_ERROR(lexer_.Need(","));
      CONDENSE_ASSIGN_OR_RETURN(outputs.emplace_back(),
                                OmittedOr(&GraphParser::Made));
    }
    std::string domain, op;
    CONDENSE_RETURN_IF_ERROR(Operator(&domain, &op));
    CONDENSE_RETURN_IF_ERROR(lexer_.Need("("));
    while (!lexer_.Skip(")")) {
      if (!inputs.empty()) CONDENSE_RETURN_IF_ERROR(lexer_.Need(","));
      CONDENSE_ASSIGN_OR_RETURN(inputs.emplace_back(),
                                OmittedOr(&GraphParser::Read));
    }
    CONDENSE_ASSIGN_OR_RETURN(auto attrs, Attributes());
    std::string name;
    if (!outputs.empty() && outputs[0] != kNoValue) {
      name = graph_.value(outputs[0]).name;
    }
    if (lexer_.Skip("@")) {
      CONDENSE_ASSIGN_OR_RETURN(name, lexer_.Name("the node's name"));
    }
    if (graph_.FindNode(name) != kNoNode) {
      return TextError(start,
                       absl::StrCat("two nodes are called '", name, "'"));
    }
    const NodeId id = graph_.AddNode(op, name, std::move(inputs), {},
                                     std::move(attrs), domain);
    for (ValueId output : outputs) {
      if (output != kNoValue) graph_.mutable_value(output).producer = id;
    }
    graph_.mutable_node(id).outputs = std::move(outputs);
    return absl::OkStatus();
  }

  absl::StatusOr<ValueId> OmittedOr(
      absl::StatusOr<ValueId> (GraphParser::*other)()) {
    if (!lexer_.IsName("_")) return (this->*other)();
    lexer_.Next();
    return kNoValue;
  }

  // "Conv", "condense::FakeQuantize" or both in quotes.
  absl::Status Operator(std::string* domain, std::string* op) {
    const bool quoted = lexer_.token().kind == Kind::kString;
    CONDENSE_ASSIGN_OR_RETURN(*op, lexer_.Name("an operator"));
    if (quoted && lexer_.Skip("::")) {
      *domain = std::move(*op);
      CONDENSE_ASSIGN_OR_RETURN(*op, lexer_.Name("an operator"));
    } else if (const size_t at = op->rfind("::");
               !quoted && at != std::string::npos) {
      *domain = op->substr(0, at);
      *op = op->substr(at + 2);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::map<std::string, Attribute>> Attributes() {
    std::map<std::string, Attribute> attrs;
    if (!lexer_.Skip("{")) return attrs;
    while (!lexer_.Skip("}")) {
      if (!attrs.empty()) CONDENSE_RETURN_IF_ERROR(lexer_.Need(","));
      const Token token = lexer_.token();
      CONDENSE_ASSIGN_OR_RETURN(const std::string key,
                                lexer_.Name("an attribute"));
      CONDENSE_RETURN_IF_ERROR(lexer_.Need("="));
      CONDENSE_ASSIGN_OR_RETURN(Attribute value, AttributeValue());
      if (!attrs.emplace(key, std::move(value)).second) {
        return TextError(token, absl::StrCat("'", key, "' is given twice"));
      }
    }
    return attrs;
  }

  absl::StatusOr<Attribute> AttributeValue() {
    const Token token = lexer_.token();
    if (token.kind == Kind::kString) {
      lexer_.Next();
      return Attribute(token.text);
    }
    if (lexer_.Skip("[")) return ListValue();
    if (lexer_.IsName("graph")) {
      CONDENSE_ASSIGN_OR_RETURN(Graph body,
                                GraphParser(&lexer_, depth_ + 1).Run());
      return Attribute(std::make_shared<const Graph>(std::move(body)));
    }
    if (lexer_.IsName("floats") || lexer_.IsName("strings")) {
      lexer_.Next();
      CONDENSE_RETURN_IF_ERROR(lexer_.Need("["));
      CONDENSE_RETURN_IF_ERROR(lexer_.Need("]"));
      if (token.text == "floats") return Attribute(std::vector<float>());
      return Attribute(std::vector<std::string>());
    }
    if (token.kind == Kind::kName &&
        (DTypeFromName(token.text) != DType::kUndefined ||
         token.text == DTypeName(DType::kUndefined))) {
      CONDENSE_ASSIGN_OR_RETURN(Tensor tensor, ParseTensor(lexer_));
      return Attribute(std::move(tensor));
    }
    return Number();
  }

  // An integer, or a float with ".", "e", "inf" or "nan".
  absl::StatusOr<Attribute> Number() {
    const Token token = lexer_.token();
    int64_t integer = 0;
    float real = 0;
    if (token.kind != Kind::kName) return lexer_.Expected("a value");
    if (LooksFloating(token.text) ? !absl::SimpleAtof(token.text, &real)
                                  : !absl::SimpleAtoi(token.text, &integer)) {
      return lexer_.Expected("a value");
    }
    lexer_.Next();
    if (LooksFloating(token.text)) return Attribute(real);
    return Attribute(integer);
  }

  // Behind "[": all strings, all integers or all floats.
  absl::StatusOr<Attribute> ListValue() {
    std::vector<int64_t> integers;
    std::vector<float> reals;
    std::vector<std::string> strings;
    size_t count = 0;
    for (; !lexer_.Skip("]"); ++count) {
      if (count > 0) CONDENSE_RETURN_IF_ERROR(lexer_.Need(","));
      const Token token = lexer_.token();
      if (token.kind == Kind::kString) {
        strings.push_back(token.text);
        lexer_.Next();
      } else {
        CONDENSE_ASSIGN_OR_RETURN(const Attribute number, Number());
        if (const int64_t* integer = std::get_if<int64_t>(&number)) {
          integers.push_back(*integer);
        } else {
          reals.push_back(std::get<float>(number));
        }
      }
      if (std::max({integers.size(), reals.size(), strings.size()}) <= count) {
        return TextError(token, "the list mixes integers, floats and strings");
      }
    }
    if (!strings.empty()) return Attribute(std::move(strings));
    if (!reals.empty()) return Attribute(std::move(reals));
    return Attribute(std::move(integers));
  }

  // The value of a name that is made here, with its type if it is given.
  absl::StatusOr<ValueId> Made() {
    CONDENSE_ASSIGN_OR_RETURN(const ValueId id, MakeName());
    if (!lexer_.Skip(":")) return id;
    CONDENSE_ASSIGN_OR_RETURN(const DType dtype, ParseDType(lexer_));
    CONDENSE_ASSIGN_OR_RETURN(auto shape, ParseShape(lexer_));
    graph_.mutable_value(id).dtype = dtype;
    graph_.mutable_value(id).shape = std::move(shape);
    return id;
  }

  absl::StatusOr<ValueId> MakeName() {
    const Token token = lexer_.token();
    CONDENSE_ASSIGN_OR_RETURN(const std::string name, lexer_.Name("a name"));
    const ValueId id = ValueOf(name);
    if (!made_.insert(id).second) {
      return TextError(token, absl::StrCat("'", name, "' is made twice"));
    }
    return id;
  }

  // A value that may be made further down.
  absl::StatusOr<ValueId> Read() {
    const Token token = lexer_.token();
    CONDENSE_ASSIGN_OR_RETURN(const std::string name, lexer_.Name("a name"));
    const ValueId id = ValueOf(name);
    read_.emplace(id, token);
    return id;
  }

  ValueId ValueOf(const std::string& name) {
    const ValueId id = graph_.FindValue(name);
    return id == kNoValue ? graph_.AddValue(name) : id;
  }

  TextLexer& lexer_;
  const int depth_;
  Graph graph_;
  std::set<ValueId> made_;
  // Where each value is read first.
  std::map<ValueId, Token> read_;
};

}  // namespace

absl::StatusOr<Graph> Parse(absl::string_view text) {
  TextLexer lexer(text);
  CONDENSE_ASSIGN_OR_RETURN(Graph graph, GraphParser(&lexer, 0).Run());
  if (lexer.token().kind != Kind::kEnd) return lexer.Expected("the text's end");
  return graph;
}

}  // namespace condense::graph
