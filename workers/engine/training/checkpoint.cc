#include "workers/engine/training/checkpoint.h"

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "workers/engine/runtime/executor.h"

namespace condense::training {
namespace {

constexpr char kMagic[] = "CNDNSCK1";
constexpr size_t kMagicBytes = 8;
// "sha256:" and 64 hex digits.
constexpr size_t kDigestBytes = 71;

absl::Status Corrupt(const std::string& path) {
  return MakeError(absl::StatusCode::kDataLoss, "CHECKPOINT_CORRUPT",
                   absl::StrCat(path, " is not a whole checkpoint"));
}

class Writer {
 public:
  void Number(int64_t value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void Text(const std::string& text) {
    Number(static_cast<int64_t>(text.size()));
    bytes_ += text;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Reads what Writer wrote; `ok` turns false at the first thing that is cut off.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : bytes_(bytes) {}
  int64_t Number() {
    int64_t value = 0;
    if (bytes_.size() < sizeof(value)) {
      ok = false;
      return 0;
    }
    std::memcpy(&value, bytes_.data(), sizeof(value));
    bytes_.remove_prefix(sizeof(value));
    return value;
  }
  std::string Text() {
    const int64_t size = Number();
    if (!ok || size < 0 || size > static_cast<int64_t>(bytes_.size())) {
      ok = false;
      return "";
    }
    std::string text(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return text;
  }
  bool ok = true;

 private:
  absl::string_view bytes_;
};

void PutTensor(const torch::Tensor& tensor, Writer* out) {
  const graph::Tensor value = runtime::FromTorch(tensor);
  out->Text(std::string(graph::DTypeName(value.dtype())));
  out->Number(value.rank());
  for (int64_t dim : value.dims()) out->Number(dim);
  out->Text(value.bytes());
}

absl::StatusOr<torch::Tensor> TakeTensor(Reader* in) {
  const graph::DType dtype = graph::DTypeFromName(in->Text());
  const int64_t rank = in->Number();
  std::vector<int64_t> dims;
  int64_t count = 1;
  for (int64_t i = 0; i < rank && in->ok && rank < 16; ++i) {
    dims.push_back(in->Number());
    if (dims.back() < 0 || dims.back() > (int64_t{1} << 32)) in->ok = false;
    count *= dims.back();
  }
  std::string bytes = in->Text();
  const bool fits =
      in->ok && rank == static_cast<int64_t>(dims.size()) &&
      graph::DTypeBits(dtype) >= 8 &&
      count * graph::DTypeBits(dtype) / 8 == static_cast<int64_t>(bytes.size());
  if (!fits) return absl::DataLossError("tensor");
  return runtime::ToTorch(
      graph::Tensor(dtype, std::move(dims), std::move(bytes)));
}

}  // namespace

absl::Status WriteCheckpoint(const std::string& path,
                             const Checkpoint& checkpoint) {
  Writer out;
  out.Text(checkpoint.fingerprint);
  out.Number(checkpoint.step);
  out.Number(static_cast<int64_t>(checkpoint.blobs.size()));
  for (const auto& [name, blob] : checkpoint.blobs) {
    out.Text(name);
    out.Text(blob);
  }
  out.Number(static_cast<int64_t>(checkpoint.tensors.size()));
  for (const auto& [name, tensor] : checkpoint.tensors) {
    out.Text(name);
    PutTensor(tensor, &out);
  }
  return WriteFileAtomically(
      path, absl::StrCat(kMagic, DigestOf(out.bytes()), out.bytes()));
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path,
                                          const std::string& fingerprint) {
  CONDENSE_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path));
  if (bytes.size() < kMagicBytes + kDigestBytes ||
      !absl::StartsWith(bytes, kMagic)) {
    return Corrupt(path);
  }
  const absl::string_view body =
      absl::string_view(bytes).substr(kMagicBytes + kDigestBytes);
  if (DigestOf(body) != bytes.substr(kMagicBytes, kDigestBytes)) {
    return Corrupt(path);
  }
  Reader in(body);
  Checkpoint checkpoint;
  checkpoint.fingerprint = in.Text();
  if (checkpoint.fingerprint != fingerprint) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "CHECKPOINT_MISMATCH",
        absl::StrCat(path, " belongs to another job or toolchain"));
  }
  checkpoint.step = in.Number();
  for (int64_t i = in.Number(); i > 0 && in.ok; --i) {
    std::string name = in.Text();
    checkpoint.blobs[name] = in.Text();
  }
  for (int64_t i = in.Number(); i > 0 && in.ok; --i) {
    std::string name = in.Text();
    absl::StatusOr<torch::Tensor> tensor = TakeTensor(&in);
    if (!tensor.ok()) return Corrupt(path);
    checkpoint.tensors[name] = *tensor;
  }
  if (!in.ok) return Corrupt(path);
  return checkpoint;
}

}  // namespace condense::training
