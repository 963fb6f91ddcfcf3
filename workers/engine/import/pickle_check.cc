#include "workers/engine/import/pickle_check.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/numeric/int128.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "common/utf8.h"

namespace condense::torchscript_import {
namespace {

// Opcodes of the pickle format that LibTorch writes, by their names in Python's
// pickletools.
enum Opcode : char {
  kMark = '(',
  kStop = '.',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kLong1 = '\x8a',
  kBinFloat = 'G',
  kNone = 'N',
  kNewTrue = '\x88',
  kNewFalse = '\x89',
  kBinUnicode = 'X',
  kShortBinString = 'U',
  kEmptyList = ']',
  kEmptyDict = '}',
  kEmptyTuple = ')',
  kTuple = 't',
  kTuple1 = '\x85',
  kTuple2 = '\x86',
  kTuple3 = '\x87',
  kList = 'l',
  kDict = 'd',
  kAppend = 'a',
  kAppends = 'e',
  kSetItem = 's',
  kSetItems = 'u',
  kBuild = 'b',
  kGlobal = 'c',
  kReduce = 'R',
  kNewObject = '\x81',
  kBinPersistentId = 'Q',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kProto = '\x80',
};

// What the machine keeps of a value. Only tensors need their arguments.
struct Value {
  enum class Kind { kMark, kInt, kString, kTuple, kGlobal, kStorage, kOther };
  Kind kind = Kind::kOther;
  // kInt: the number. kStorage: its elements.
  int64_t number = 0;
  // kString (its beginning), kGlobal ("module name").
  std::string text;
  // kTuple; shared because memoised tuples are.
  std::shared_ptr<const std::vector<Value>> items;
  // Tuples in tuples: they are freed by recursion, here and in LibTorch.
  int depth = 0;
};

constexpr size_t kStackMax = 4'000'000;
constexpr int kDepthMax = 100;
// Names and keys are shorter; of longer strings only the beginning is kept.
constexpr size_t kTextMax = 256;

absl::Status Bad(const std::string& what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "NOT_A_MODEL",
                   absl::StrCat("the archive's pickle ", what),
                   {.hint = "save the model again with torch.jit.save"});
}

absl::Status CutOff() { return Bad("is cut off"); }

absl::Status Unsupported(const std::string& what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "UNSUPPORTED_MODULE",
                   what, {.hint = "save the float model with torch.jit.save"});
}

// Bytes per element; 0 for what is no storage of a plain tensor.
int64_t ElementBytes(const std::string& storage) {
  static const auto& sizes = *new std::map<std::string, int64_t>{
      {"torch FloatStorage", 4},        {"torch DoubleStorage", 8},
      {"torch HalfStorage", 2},         {"torch BFloat16Storage", 2},
      {"torch LongStorage", 8},         {"torch IntStorage", 4},
      {"torch ShortStorage", 2},        {"torch CharStorage", 1},
      {"torch ByteStorage", 1},         {"torch BoolStorage", 1},
      {"torch ComplexFloatStorage", 8}, {"torch ComplexDoubleStorage", 16}};
  auto it = sizes.find(storage);
  return it == sizes.end() ? 0 : it->second;
}

absl::Status CheckGlobal(const std::string& name) {
  const std::string quoted = IsUtf8(name) ? name : "(not text)";
  if (absl::StartsWith(name, "__torch__.torch.classes")) {
    return Unsupported(
        absl::StrCat("the model holds an object of the C++ class ", quoted,
                     ", as quantized modules do"));
  }
  if (absl::StartsWith(name, "__torch__")) return absl::OkStatus();
  static constexpr std::array<const char*, 11> kAllowed = {
      "torch._utils _rebuild_tensor_v2",
      "torch._utils _rebuild_parameter",
      "collections OrderedDict",
      "torch device",
      "torch.jit._pickle build_intlist",
      "torch.jit._pickle build_doublelist",
      "torch.jit._pickle build_boollist",
      "torch.jit._pickle build_tensorlist",
      "torch.jit._pickle restore_type_tag",
      "builtins complex",
      "typing Any"};
  for (const char* allowed : kAllowed) {
    if (name == allowed) return absl::OkStatus();
  }
  if (ElementBytes(name) > 0) return absl::OkStatus();
  if (absl::StartsWith(name, "torch._utils _rebuild_") ||
      absl::StartsWith(name, "torch Q")) {
    return Unsupported(
        absl::StrCat("the model holds tensors that are not "
                     "dense and of plain numbers (",
                     quoted, ")"));
  }
  return Bad(absl::StrCat("names '", quoted, "', which no model needs"));
}

class Machine {
 public:
  Machine(absl::string_view bytes, const StorageSize& storage)
      : rest_(bytes), storage_(storage) {}

  absl::Status Run() {
    while (!rest_.empty()) {
      const char opcode = rest_[0];
      rest_.remove_prefix(1);
      if (opcode == kStop) {
        return stack_.size() == 1 ? absl::OkStatus() : Bad("ends in a middle");
      }
      CONDENSE_RETURN_IF_ERROR(Step(opcode));
    }
    return CutOff();
  }

 private:
  absl::Status Step(char opcode) {
    switch (opcode) {
      case kProto:
        return Skip(1);
      case kMark:
        return Push({Value::Kind::kMark});
      case kNone:
      case kNewTrue:
      case kNewFalse:
      case kEmptyList:
      case kEmptyDict:
        return Push({});
      case kEmptyTuple:
        return MakeTuple(stack_.size());
      case kGlobal:
        return Global();
      case kReduce:
        return Reduce();
      case kBinPersistentId:
        return Storage();
      case kBinInt:
      case kBinInt1:
      case kBinInt2:
      case kLong1:
      case kBinFloat:
      case kBinUnicode:
      case kShortBinString:
        return Literal(opcode);
      case kBinGet:
      case kLongBinGet:
      case kBinPut:
      case kLongBinPut:
        return Memo(opcode);
      default:
        return Container(opcode);
    }
  }

  absl::Status Literal(char opcode) {
    int64_t n = 0;
    switch (opcode) {
      case kBinInt:
        CONDENSE_RETURN_IF_ERROR(Integer(4, &n));
        return Push({Value::Kind::kInt, n});
      case kBinInt1:
      case kBinInt2:
        CONDENSE_RETURN_IF_ERROR(Unsigned(opcode == kBinInt1 ? 1 : 2, &n));
        return Push({Value::Kind::kInt, n});
      case kLong1:
        CONDENSE_RETURN_IF_ERROR(Unsigned(1, &n));
        if (n > 8) return Bad("holds a number of over 64 bits");
        CONDENSE_RETURN_IF_ERROR(Integer(static_cast<int>(n), &n));
        return Push({Value::Kind::kInt, n});
      case kBinFloat:
        CONDENSE_RETURN_IF_ERROR(Skip(8));
        return Push({});
      default:
        CONDENSE_RETURN_IF_ERROR(Unsigned(opcode == kBinUnicode ? 4 : 1, &n));
        if (n > static_cast<int64_t>(rest_.size())) return CutOff();
        CONDENSE_RETURN_IF_ERROR(Push(
            {Value::Kind::kString, 0,
             std::string(rest_.substr(0, std::min<size_t>(n, kTextMax)))}));
        return Skip(n);
    }
  }

  absl::Status Memo(char opcode) {
    int64_t n = 0;
    const bool wide = opcode == kLongBinGet || opcode == kLongBinPut;
    CONDENSE_RETURN_IF_ERROR(Unsigned(wide ? 4 : 1, &n));
    if (opcode == kBinGet || opcode == kLongBinGet) {
      auto it = memo_.find(n);
      if (it == memo_.end()) return Bad("reads what it did not store");
      return Push(it->second);
    }
    if (stack_.empty()) return Bad("stores nothing");
    memo_[n] = stack_.back();
    return absl::OkStatus();
  }

  absl::Status Container(char opcode) {
    switch (opcode) {
      case kTuple1:
      case kTuple2:
      case kTuple3: {
        const size_t count = opcode - kTuple1 + 1;
        if (stack_.size() < count) return Bad("lacks the parts of a tuple");
        return MakeTuple(stack_.size() - count);
      }
      case kTuple: {
        CONDENSE_RETURN_IF_ERROR(FindMark());
        const size_t first = mark_ + 1;
        CONDENSE_RETURN_IF_ERROR(MakeTuple(first));
        stack_.erase(stack_.begin() + static_cast<int64_t>(mark_));
        return absl::OkStatus();
      }
      case kList:
      case kDict:
        CONDENSE_RETURN_IF_ERROR(DropToMark());
        return Push({});
      case kAppends:
      case kSetItems:
        CONDENSE_RETURN_IF_ERROR(DropToMark());
        return stack_.empty() ? Bad("fills nothing") : absl::OkStatus();
      case kAppend:
      case kBuild:
        return Drop(1);
      case kSetItem:
        return Drop(2);
      case kNewObject:
        CONDENSE_RETURN_IF_ERROR(Drop(1));
        if (stack_.back().kind != Value::Kind::kGlobal) {
          return Bad("makes an object of what is no class");
        }
        stack_.back() = {};
        return absl::OkStatus();
      default:
        return Bad(absl::StrCat("has the opcode ",
                                static_cast<int>(static_cast<uint8_t>(opcode)),
                                ", which no model needs"));
    }
  }

  absl::Status Global() {
    std::string name;
    for (int i = 0; i < 2; ++i) {
      const size_t end = rest_.find('\n');
      if (end == absl::string_view::npos) return CutOff();
      absl::StrAppend(&name, i == 0 ? "" : " ", rest_.substr(0, end));
      rest_.remove_prefix(end + 1);
    }
    CONDENSE_RETURN_IF_ERROR(CheckGlobal(name));
    return Push({Value::Kind::kGlobal, 0, std::move(name)});
  }

  absl::Status Reduce() {
    if (stack_.size() < 2 || stack_.back().kind != Value::Kind::kTuple ||
        stack_[stack_.size() - 2].kind != Value::Kind::kGlobal) {
      return Bad("calls what is no function");
    }
    const auto arguments = stack_.back().items;
    stack_.pop_back();
    const std::string function = std::move(stack_.back().text);
    stack_.back() = {};
    if (function != "torch._utils _rebuild_tensor_v2") return absl::OkStatus();
    return CheckTensor(*arguments);
  }

  // ("storage", type, key, device, number of elements).
  absl::Status Storage() {
    if (stack_.empty() || stack_.back().kind != Value::Kind::kTuple) {
      return Bad("has a reference that is no storage");
    }
    const auto items = stack_.back().items;
    stack_.pop_back();
    if (items->size() != 5 || (*items)[0].text != "storage" ||
        (*items)[1].kind != Value::Kind::kGlobal ||
        (*items)[2].kind != Value::Kind::kString ||
        (*items)[4].kind != Value::Kind::kInt) {
      return Bad("has a reference that is no storage");
    }
    const int64_t width = ElementBytes((*items)[1].text);
    const int64_t count = (*items)[4].number;
    if (width == 0) return Bad("has a storage of no element type");
    if (count < 0) return Bad("has a storage of a negative size");
    if (count > 0) {
      const auto bytes = storage_((*items)[2].text);
      if (!bytes || count > *bytes / width) {
        return Bad("has a storage that is larger than its record");
      }
    }
    return Push({Value::Kind::kStorage, count});
  }

  // (storage, offset, sizes, strides, ...): the last element must be inside.
  static absl::Status CheckTensor(const std::vector<Value>& arguments) {
    auto ints = [&](size_t i) { return arguments[i].items; };
    if (arguments.size() < 4 || arguments[0].kind != Value::Kind::kStorage ||
        arguments[1].kind != Value::Kind::kInt || !ints(2) || !ints(3) ||
        ints(2)->size() != ints(3)->size()) {
      return Bad("has a tensor without storage, sizes or strides");
    }
    absl::int128 last = arguments[1].number;
    bool empty = false, bad = arguments[1].number < 0;
    for (size_t i = 0; i < ints(2)->size(); ++i) {
      const Value &size = (*ints(2))[i], &stride = (*ints(3))[i];
      bad |= size.kind != Value::Kind::kInt ||
             stride.kind != Value::Kind::kInt || size.number < 0 ||
             stride.number < 0;
      if (bad) break;
      empty |= size.number == 0;
      last += absl::int128(size.number - 1) * stride.number;
      // Far beyond any storage, so that the sum cannot overflow.
      bad |= last > (absl::int128(1) << 100);
    }
    if (bad || (!empty && last >= arguments[0].number)) {
      return Bad("has a tensor that leaves its storage");
    }
    return absl::OkStatus();
  }

  absl::Status Push(Value value) {
    if (stack_.size() >= kStackMax) return Bad("holds too many values");
    stack_.push_back(std::move(value));
    return absl::OkStatus();
  }
  // Leaves at least one value below.
  absl::Status Drop(size_t count) {
    if (stack_.size() <= count) return Bad("takes more than there is");
    stack_.resize(stack_.size() - count);
    return absl::OkStatus();
  }
  absl::Status FindMark() {
    mark_ = stack_.size();
    while (mark_ > 0) {
      if (stack_[--mark_].kind == Value::Kind::kMark) return absl::OkStatus();
    }
    return Bad("closes what it did not open");
  }
  absl::Status DropToMark() {
    CONDENSE_RETURN_IF_ERROR(FindMark());
    stack_.resize(mark_);
    return absl::OkStatus();
  }
  // The values from `first` on become one tuple.
  absl::Status MakeTuple(size_t first) {
    auto items = std::make_shared<std::vector<Value>>(
        std::make_move_iterator(stack_.begin() + static_cast<int64_t>(first)),
        std::make_move_iterator(stack_.end()));
    int depth = 0;
    for (const Value& item : *items) {
      if (item.kind == Value::Kind::kMark) return Bad("has a mark in a tuple");
      depth = std::max(depth, item.depth + 1);
    }
    if (depth > kDepthMax) return Bad("nests tuples too deep");
    stack_.resize(first);
    return Push({Value::Kind::kTuple, 0, "", std::move(items), depth});
  }
  absl::Status Skip(int64_t bytes) {
    if (bytes > static_cast<int64_t>(rest_.size())) return CutOff();
    rest_.remove_prefix(bytes);
    return absl::OkStatus();
  }
  absl::Status Unsigned(int width, int64_t* number) {
    if (width > static_cast<int>(rest_.size())) return CutOff();
    uint64_t n = 0;
    for (int i = 0; i < width; ++i) {
      n |= uint64_t{static_cast<uint8_t>(rest_[i])} << (8 * i);
    }
    *number = static_cast<int64_t>(n);
    return Skip(width);
  }
  // Two's complement, little endian.
  absl::Status Integer(int width, int64_t* number) {
    CONDENSE_RETURN_IF_ERROR(Unsigned(width, number));
    if (width == 0 || width == 8) return absl::OkStatus();
    const int64_t sign = int64_t{1} << (8 * width - 1);
    *number = (*number ^ sign) - sign;
    return absl::OkStatus();
  }

  absl::string_view rest_;
  const StorageSize& storage_;
  std::vector<Value> stack_;
  std::map<int64_t, Value> memo_;
  // Where the last mark was found.
  size_t mark_ = 0;
};

}  // namespace

absl::Status CheckPickle(absl::string_view bytes, const StorageSize& storage) {
  return Machine(bytes, storage).Run();
}

}  // namespace condense::torchscript_import
