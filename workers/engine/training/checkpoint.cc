#include "workers/engine/training/checkpoint.h"

#include <cstring>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "workers/engine/runtime/dtype.h"
#include "workers/engine/runtime/executor.h"

namespace condense::training {
namespace {

constexpr absl::string_view kMagic = "CNDNSCK2";
// "sha256:" and 64 hex digits.
constexpr size_t kDigestBytes = 71;

absl::Status Corrupt(const std::string& path) {
  return MakeError(absl::StatusCode::kDataLoss, "CHECKPOINT_CORRUPT",
                   absl::StrCat(path, " is not a whole checkpoint"));
}

// Appends to a file and to its digest; keeps the first error.
class Writer {
 public:
  explicit Writer(AtomicFile* file) : file_(*file) {}

  void Put(absl::string_view bytes) {
    if (!status_.ok()) return;
    digest_.Update(bytes);
    status_ = file_.Append(bytes);
  }
  void Number(int64_t value) {
    Put({reinterpret_cast<const char*>(&value), sizeof(value)});
  }
  void Text(absl::string_view text) {
    Number(static_cast<int64_t>(text.size()));
    Put(text);
  }
  void Blob(const absl::Cord& blob) {
    Number(static_cast<int64_t>(blob.size()));
    for (absl::string_view chunk : blob.Chunks()) Put(chunk);
  }
  void Tensor(const torch::Tensor& tensor) {
    const torch::Tensor flat = tensor.detach()
                                   .to(torch::kCPU)
                                   .contiguous(at::MemoryFormat::Contiguous);
    Text(graph::DTypeName(runtime::DTypeOfTorch(flat.scalar_type())));
    Number(flat.dim());
    for (int64_t dim : flat.sizes()) Number(dim);
    Text({static_cast<const char*>(flat.data_ptr()), flat.nbytes()});
  }
  absl::Status Close() {
    CONDENSE_RETURN_IF_ERROR(status_);
    CONDENSE_RETURN_IF_ERROR(file_.Append(digest_.Finish()));
    return file_.Commit();
  }

 private:
  AtomicFile& file_;
  Sha256 digest_;
  absl::Status status_;
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

absl::Status Mismatch(const std::string& path, const Fingerprint& found,
                      const Fingerprint& wanted) {
  std::set<std::string> parts;
  for (const auto& [part, value] : wanted) {
    const auto it = found.find(part);
    if (it == found.end() || it->second != value) parts.insert(part);
  }
  for (const auto& [part, value] : found) {
    if (wanted.count(part) == 0) parts.insert(part);
  }
  return MakeError(absl::StatusCode::kFailedPrecondition, "CHECKPOINT_MISMATCH",
                   absl::StrCat(path, " belongs to another job; different: ",
                                absl::StrJoin(parts, ", ")));
}

// Counted pairs of names and texts.
std::map<std::string, std::string> TakeTexts(Reader* in) {
  std::map<std::string, std::string> texts;
  for (int64_t i = in->Number(); i > 0 && in->ok; --i) {
    std::string name = in->Text();
    texts[name] = in->Text();
  }
  return texts;
}

}  // namespace

absl::Status WriteCheckpoint(const std::string& path,
                             const Checkpoint& checkpoint) {
  CONDENSE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  Writer out(&file);
  out.Put(kMagic);
  out.Number(static_cast<int64_t>(checkpoint.fingerprint.size()));
  for (const auto& [part, value] : checkpoint.fingerprint) {
    out.Text(part);
    out.Text(value);
  }
  out.Number(checkpoint.step);
  out.Number(static_cast<int64_t>(checkpoint.blobs.size()));
  for (const auto& [name, blob] : checkpoint.blobs) {
    out.Text(name);
    out.Blob(blob);
  }
  out.Number(static_cast<int64_t>(checkpoint.tensors.size()));
  for (const auto& [name, tensor] : checkpoint.tensors) {
    out.Text(name);
    out.Tensor(tensor);
  }
  return out.Close();
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path,
                                          const Fingerprint& fingerprint) {
  CONDENSE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  if (bytes.size() < kMagic.size() + kDigestBytes ||
      !absl::StartsWith(bytes, kMagic)) {
    return Corrupt(path);
  }
  absl::string_view body = bytes;
  body.remove_suffix(kDigestBytes);
  if (DigestOf(body) != absl::string_view(bytes).substr(body.size())) {
    return Corrupt(path);
  }
  Reader in(body.substr(kMagic.size()));
  Checkpoint checkpoint;
  checkpoint.fingerprint = TakeTexts(&in);
  if (in.ok && checkpoint.fingerprint != fingerprint) {
    return Mismatch(path, checkpoint.fingerprint, fingerprint);
  }
  checkpoint.step = in.Number();
  for (auto& [name, text] : TakeTexts(&in)) {
    checkpoint.blobs[name] = absl::Cord(text);
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
