#include "workers/engine/quantization/binary_codes.h"

#include <limits>

#include "workers/engine/quantization/gptq.h"
#include "workers/engine/runtime/learned_basis.h"
#include "workers/engine/runtime/level_table.h"

namespace condense::quantization {
namespace {

using runtime::LevelTable;
using torch::Tensor;

constexpr int kTurns = 20;
constexpr int kSweeps = 2;
// A turn that wins less than this share is the last.
constexpr double kLeastGain = 1e-3;

// One output of the layer.
struct Row {
  int64_t size = 0;
  // Signs of each weight, as LevelTable::origin.
  uint8_t* signs = nullptr;
  float* level = nullptr;
  // H (w - level).
  float* slope = nullptr;
};

// Every weight at the level that is best for the others as they are.
void Sweep(const float* hessian, const LevelTable& table, const Row& row) {
  for (int64_t i = 0; i < row.size; ++i) {
    const float* h = hessian + i * row.size;
    const int64_t code =
        runtime::NearestLevel(table.levels, row.level[i] + row.slope[i] / h[i]);
    const float moved = table.levels[code] - row.level[i];
    row.signs[i] = static_cast<uint8_t>(table.origin[code]);
    if (moved == 0) continue;
    row.level[i] = table.levels[code];
    for (int64_t j = 0; j < row.size; ++j) row.slope[j] -= moved * h[j];
  }
}

class Coder {
 public:
  Coder(const Tensor& weights, const Tensor& hessian, int bits, int64_t qmax)
      : weights_(weights.to(torch::kFloat32).contiguous()),
        hessian_(hessian.to(torch::kFloat32).contiguous()),
        bits_(bits),
        qmax_(qmax),
        outputs_(weights.size(0)),
        size_(weights.size(1)),
        signs_(at::zeros(weights.sizes(), torch::kUInt8)),
        levels_(at::empty_like(weights_)),
        tables_(outputs_),
        least_(at::full({outputs_}, std::numeric_limits<float>::infinity())) {
    best_.weights = at::empty_like(weights_);
    best_.scales.resize(outputs_);
  }

  BinaryCodes Run() {
    TakeNearest();
    double before = std::numeric_limits<double>::infinity();
    for (int turn = 0; turn < kTurns; ++turn) {
      slopes_ = at::matmul(weights_ - levels_, hessian_);
      Keep();
      SweepAll();
      Keep();
      const double now = least_.sum().item<double>();
      if (now >= before * (1 - kLeastGain)) break;
      before = now;
      SolveAll();
    }
    return std::move(best_);
  }

 private:
  Row RowAt(int64_t o) {
    return {
        size_, signs_.data_ptr<uint8_t>() + o * size_,
        levels_.data_ptr<float>() + o * size_,
        slopes_.defined() ? slopes_.data_ptr<float>() + o * size_ : nullptr};
  }

  void SetTable(int64_t o, const std::vector<float>& basis) {
    tables_[o] = runtime::LevelTableOf(runtime::TableKind::kBasis, basis.data(),
                                       bits_, qmax_);
  }

  void TakeNearest() {
    for (int64_t o = 0; o < outputs_; ++o) {
      const float* w = weights_.data_ptr<float>() + o * size_;
      SetTable(o, runtime::FitBasis({w, w + size_}, bits_));
      const Row row = RowAt(o);
      for (int64_t i = 0; i < size_; ++i) {
        const int64_t code = runtime::NearestLevel(tables_[o].levels, w[i]);
        row.level[i] = tables_[o].levels[code];
        row.signs[i] = static_cast<uint8_t>(tables_[o].origin[code]);
      }
    }
  }

  void SweepAll() {
    at::parallel_for(0, outputs_, 1, [&](int64_t from, int64_t to) {
      for (int64_t o = from; o < to; ++o) {
        for (int i = 0; i < kSweeps; ++i) {
          Sweep(hessian_.data_ptr<float>(), tables_[o], RowAt(o));
        }
      }
    });
  }

  // Takes the outputs that lose less than ever before.
  void Keep() {
    const Tensor lost = ((weights_ - levels_) * slopes_).sum(1);
    for (int64_t o = 0; o < outputs_; ++o) {
      if (!(lost[o].item<float>() < least_[o].item<float>())) continue;
      least_[o] = lost[o];
      best_.weights[o] = levels_[o];
      best_.scales[o] = tables_[o].scale;
    }
  }

  // The best basis of every output for its signs.
  void SolveAll() {
    std::vector<Tensor> signs;
    for (int k = 0; k < bits_; ++k) {
      signs.push_back(signs_.bitwise_and(1 << k).ne(0).to(torch::kFloat32) * 2 -
                      1);
    }
    // [outputs, bits, K].
    const Tensor b = at::stack(signs, 1);
    const Tensor bh = at::matmul(b, hessian_).to(torch::kFloat64);
    Tensor a = at::matmul(bh, b.to(torch::kFloat64).transpose(1, 2));
    const Tensor right =
        at::matmul(bh, weights_.to(torch::kFloat64).unsqueeze(2));
    const Tensor ridge = 1e-6 * a.diagonal(0, 1, 2).mean(1);
    a = a + ridge.view({-1, 1, 1}) * at::eye(bits_, a.options());
    const Tensor basis =
        at::linalg_solve(a, right).squeeze(2).to(torch::kFloat32).contiguous();
    for (int64_t o = 0; o < outputs_; ++o) {
      const float* v = basis.data_ptr<float>() + o * bits_;
      SetTable(o, {v, v + bits_});
      PutOnTable(tables_[o], RowAt(o));
    }
  }

  // The levels that the signs have now.
  static void PutOnTable(const LevelTable& table, const Row& row) {
    std::vector<float> by_signs(table.levels.size());
    for (size_t i = 0; i < by_signs.size(); ++i) {
      by_signs[table.origin[i]] = table.levels[i];
    }
    for (int64_t i = 0; i < row.size; ++i) {
      row.level[i] = by_signs[row.signs[i]];
    }
  }

  const Tensor weights_;
  const Tensor hessian_;
  const int bits_;
  const int64_t qmax_;
  const int64_t outputs_;
  const int64_t size_;
  Tensor signs_;
  Tensor levels_;
  Tensor slopes_;
  std::vector<LevelTable> tables_;
  // What each output of best_ loses.
  Tensor least_;
  BinaryCodes best_;
};

}  // namespace

BinaryCodes FitBinaryCodes(const Tensor& weights, const Tensor& hessian,
                           int64_t rows, int bits, int64_t qmax) {
  const torch::NoGradGuard no_grad;
  return Coder(weights, DampedHessian(hessian, rows), bits, qmax).Run();
}

}  // namespace condense::quantization
