#include "workers/engine/runtime/table_quantize.h"

#include <algorithm>
#include <vector>

#include "workers/engine/runtime/learned_basis.h"

namespace condense::runtime {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The weight as rows of one channel each.
Tensor ChannelRows(const Tensor& w, int64_t axis) {
  const Tensor plain = w.detach().to(torch::kCPU, torch::kFloat32);
  if (axis < 0) return plain.reshape({1, -1}).contiguous();
  return plain.movedim(axis, 0).reshape({w.size(axis), -1}).contiguous();
}

// Back from ChannelRows of `like`.
Tensor FromRows(const Tensor& rows, const Tensor& like, int64_t axis) {
  if (axis < 0) return rows.reshape(like.sizes());
  std::vector<int64_t> dims = like.sizes().vec();
  dims.erase(dims.begin() + axis);
  dims.insert(dims.begin(), like.size(axis));
  return rows.reshape(dims).movedim(0, axis).contiguous();
}

void Follow(const Tensor& rows, const Tensor& table) {
  Tensor basis = table.to(torch::kCPU).contiguous();
  const int64_t bits = basis.size(-1);
  for (int64_t c = 0; c < rows.size(0); ++c) {
    FollowBasis(rows.data_ptr<float>() + c * rows.size(1), rows.size(1),
                static_cast<int>(bits), kBasisKept,
                basis.data_ptr<float>() + c * bits);
  }
  if (!basis.is_same(table)) table.copy_(basis);
}

class TableFunction : public torch::autograd::Function<TableFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& w,
                        const Tensor& table, const Tensor& scale,
                        TableQuantizeOptions options) {
    const Tensor rows = ChannelRows(w, options.axis);
    if (options.follow) Follow(rows, table);
    const Tensor plain = table.to(torch::kCPU).contiguous();
    const int64_t channels = rows.size(0), n = rows.size(1);
    const int64_t width = plain.numel() / channels;
    Tensor y = at::empty_like(rows);
    Tensor places = at::empty({channels, n}, torch::kInt64);
    std::vector<float> scales;
    for (int64_t c = 0; c < channels; ++c) {
      const LevelTable levels =
          LevelTableOf(options.kind, plain.data_ptr<float>() + c * width, width,
                       options.qmax);
      scales.push_back(levels.scale);
      const float* from = rows.data_ptr<float>() + c * n;
      float* to = y.data_ptr<float>() + c * n;
      int64_t* place = places.data_ptr<int64_t>() + c * n;
      for (int64_t i = 0; i < n; ++i) {
        const int64_t code = NearestLevel(levels.levels, from[i]);
        to[i] = levels.levels[code];
        place[i] = levels.origin[code];
      }
    }
    scale.copy_(torch::tensor(scales).reshape(scale.sizes()));
    if (options.kind == TableKind::kLevels) {
      context->save_for_backward({places, table});
    }
    context->saved_data["axis"] = options.axis;
    return FromRows(y, w, options.axis).to(w.device(), w.scalar_type());
  }

  static variable_list backward(AutogradContext* context, variable_list grad) {
    const variable_list saved = context->get_saved_variables();
    Tensor to_table;
    if (!saved.empty()) {
      const Tensor rows =
          ChannelRows(grad[0], context->saved_data["axis"].toInt());
      const Tensor &places = saved[0], &table = saved[1];
      const Tensor zeros =
          at::zeros({rows.size(0), table.numel() / rows.size(0)});
      const Tensor count =
          zeros.scatter_add(1, places, at::ones_like(rows)).clamp_min(1);
      to_table = (zeros.scatter_add(1, places, rows) / count.sqrt())
                     .reshape(table.sizes())
                     .to(table.device());
    }
    return {grad[0], to_table, Tensor(), Tensor()};
  }
};

}  // namespace

Tensor TableQuantize(const TableQuantizeInputs& inputs,
                     const TableQuantizeOptions& options) {
  return TableFunction::apply(inputs.w, inputs.table, inputs.scale, options);
}

}  // namespace condense::runtime
