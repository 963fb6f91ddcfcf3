// LSTM, GRU and RNN (ONNX operators of these names, opset 14).

#include <functional>

#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using torch::Tensor;
using Function = std::function<Tensor(const Tensor&)>;

struct Settings {
  int64_t hidden = 0;
  bool forward = true;
  bool reverse = false;
  bool batch_first = false;
  bool linear_before_reset = false;
  bool input_forget = false;
  bool plain_activations = true;
  double clip = 0;
  // Per direction as many as the cell has.
  std::vector<Function> activations;
};

Function ActivationOf(const std::string& name, double alpha, double beta) {
  if (name == "Relu") return [](const Tensor& x) { return at::relu(x); };
  if (name == "Tanh") return [](const Tensor& x) { return at::tanh(x); };
  if (name == "Sigmoid") return [](const Tensor& x) { return at::sigmoid(x); };
  if (name == "Softplus") {
    return [](const Tensor& x) { return at::softplus(x); };
  }
  if (name == "Softsign") {
    return [](const Tensor& x) { return x / (1 + at::abs(x)); };
  }
  if (name == "LeakyRelu") {
    return [alpha](const Tensor& x) { return at::leaky_relu(x, alpha); };
  }
  if (name == "Elu") {
    return [alpha](const Tensor& x) { return at::elu(x, alpha); };
  }
  if (name == "Affine") {
    return [=](const Tensor& x) { return x * alpha + beta; };
  }
  if (name == "ScaledTanh") {
    return [=](const Tensor& x) { return alpha * at::tanh(x * beta); };
  }
  if (name == "HardSigmoid") {
    return [=](const Tensor& x) { return at::clamp(x * alpha + beta, 0, 1); };
  }
  return nullptr;
}

double DefaultAlpha(const std::string& name) {
  if (name == "LeakyRelu") return 0.01;
  return name == "HardSigmoid" ? 0.2 : 1.0;
}

std::vector<std::string> Strings(const graph::Node& node, const char* key) {
  auto it = node.attrs.find(key);
  if (it == node.attrs.end()) return {};
  const auto* names = std::get_if<std::vector<std::string>>(&it->second);
  return names ? *names : std::vector<std::string>();
}

std::vector<float> Floats(const graph::Node& node, const char* key) {
  auto it = node.attrs.find(key);
  if (it == node.attrs.end()) return {};
  const auto* values = std::get_if<std::vector<float>>(&it->second);
  return values ? *values : std::vector<float>();
}

absl::StatusOr<Settings> SettingsOf(const KernelContext& c,
                                    std::vector<std::string> names) {
  Settings s;
  const std::string direction = c.node.String("direction", "forward");
  s.forward = direction != "reverse";
  s.reverse = direction != "forward";
  s.hidden = c.node.Int("hidden_size", 0);
  s.batch_first = c.node.Int("layout", 0) != 0;
  s.linear_before_reset = c.node.Int("linear_before_reset", 0) != 0;
  s.input_forget = c.node.Int("input_forget", 0) != 0;
  s.clip = c.node.Float("clip", 0);
  const std::vector<std::string> given = Strings(c.node, "activations");
  const size_t per_direction = names.size();
  if (s.forward && s.reverse) {
    for (size_t i = 0; i < per_direction; ++i) names.push_back(names[i]);
  }
  s.plain_activations = given.empty() || given == names;
  if (!given.empty()) names = given;
  const auto alphas = Floats(c.node, "activation_alpha");
  const auto betas = Floats(c.node, "activation_beta");
  for (size_t i = 0; i < names.size(); ++i) {
    const double alpha = i < alphas.size() ? alphas[i] : DefaultAlpha(names[i]);
    const double beta = i < betas.size()            ? betas[i]
                        : names[i] == "HardSigmoid" ? 0.5
                                                    : 1.0;
    s.activations.push_back(ActivationOf(names[i], alpha, beta));
    if (!s.activations.back()) return c.Unsupported("with " + names[i]);
  }
  if (s.activations.size() % per_direction != 0) {
    return c.Unsupported("with that number of activations");
  }
  return s;
}

// What one direction of a layer computes with.
struct Cell {
  Tensor w, r, wb, rb, peephole;
  const Function* f = nullptr;
  const Settings* settings = nullptr;

  Tensor Clip(const Tensor& x) const {
    return settings->clip > 0 ? at::clamp(x, -settings->clip, settings->clip)
                              : x;
  }
};

struct State {
  Tensor h, c;
};

// One step: x is already multiplied by the input weights.
using StepFunction = State (*)(const Cell&, const Tensor& xw, const State&);

State RnnStep(const Cell& cell, const Tensor& xw, const State& s) {
  const Tensor sum = xw + at::linear(s.h, cell.r, cell.rb);
  return {cell.f[0](cell.Clip(sum)), {}};
}

// Gates in the order z, r, h.
State GruStep(const Cell& cell, const Tensor& xw, const State& s) {
  const auto x = at::chunk(xw, 3, -1);
  const auto r = at::chunk(cell.r, 3, 0);
  const auto rb = at::chunk(cell.rb, 3, 0);
  const Tensor z = cell.f[0](cell.Clip(x[0] + at::linear(s.h, r[0], rb[0])));
  const Tensor reset =
      cell.f[0](cell.Clip(x[1] + at::linear(s.h, r[1], rb[1])));
  const Tensor recurrent = cell.settings->linear_before_reset
                               ? reset * at::linear(s.h, r[2], rb[2])
                               : at::linear(reset * s.h, r[2], rb[2]);
  const Tensor candidate = cell.f[1](cell.Clip(x[2] + recurrent));
  return {(1 - z) * candidate + z * s.h, {}};
}

// Gates in the order i, o, f, c; peepholes i, o, f.
State LstmStep(const Cell& cell, const Tensor& xw, const State& s) {
  const auto gates = at::chunk(xw + at::linear(s.h, cell.r, cell.rb), 4, -1);
  Tensor i = gates[0], o = gates[1], f = gates[2];
  std::vector<Tensor> p;
  if (cell.peephole.defined()) p = at::chunk(cell.peephole, 3, 0);
  if (!p.empty()) {
    i = i + p[0] * s.c;
    f = f + p[2] * s.c;
  }
  i = cell.f[0](cell.Clip(i));
  f = cell.settings->input_forget ? 1 - i : cell.f[0](cell.Clip(f));
  const Tensor c = f * s.c + i * cell.f[1](cell.Clip(gates[3]));
  if (!p.empty()) o = o + p[1] * c;
  o = cell.f[0](cell.Clip(o));
  return {o * cell.f[2](c), c};
}

// All steps of one direction. x: [time, batch, input]; lengths: [batch] or
// undefined; y: [time, batch, hidden].
Tensor RunDirection(const Cell& cell, StepFunction step, const Tensor& x,
                    const Tensor& lengths, bool reverse, State* state) {
  const int64_t time = x.size(0);
  const Tensor projected = at::linear(x, cell.w, cell.wb);
  std::vector<Tensor> outputs(time);
  for (int64_t i = 0; i < time; ++i) {
    const int64_t t = reverse ? time - 1 - i : i;
    State next = step(cell, projected[t], *state);
    if (lengths.defined()) {
      const Tensor alive = (lengths > t).unsqueeze(-1);
      outputs[t] = at::where(alive, next.h, at::zeros_like(next.h));
      next.h = at::where(alive, next.h, state->h);
      if (next.c.defined()) next.c = at::where(alive, next.c, state->c);
    } else {
      outputs[t] = next.h;
    }
    *state = next;
  }
  return at::stack(outputs);
}

// LibTorch's fused layer: gates i, f, g, o (or r, z, n for the GRU).
Tensor Reorder(const Tensor& x, const std::vector<int64_t>& order) {
  const auto parts = at::chunk(x, static_cast<int64_t>(order.size()), 0);
  std::vector<Tensor> sorted;
  for (int64_t i : order) sorted.push_back(parts[i]);
  return at::cat(sorted, 0);
}

class Layer {
 public:
  Layer(Settings settings, int64_t gates, StepFunction step)
      : settings_(std::move(settings)), gates_(gates), step_(step) {}

  std::vector<Tensor> Run(const Call& call) const {
    const Tensor x =
        settings_.batch_first ? call.in[0].transpose(0, 1) : call.in[0];
    const int64_t directions = call.in[1].size(0);
    const bool lstm = gates_ == 4;
    Tensor h = Initial(call, 5, x, directions);
    Tensor c = lstm ? Initial(call, 6, x, directions) : Tensor();
    if (CanFuse(call)) return Fused(call, x, h, c);
    std::vector<Tensor> ys, hs, cs;
    for (int64_t d = 0; d < directions; ++d) {
      const Cell cell = CellOf(call, d);
      State state{h[d], lstm ? c[d] : Tensor()};
      const bool reverse = settings_.reverse && (!settings_.forward || d == 1);
      ys.push_back(
          RunDirection(cell, step_, x, call.Optional(4), reverse, &state));
      hs.push_back(state.h);
      cs.push_back(state.c);
    }
    return Results(at::stack(ys, 1), at::stack(hs),
                   lstm ? at::stack(cs) : Tensor());
  }

 private:
  Tensor Initial(const Call& call, size_t input, const Tensor& x,
                 int64_t directions) const {
    if (!call.Has(input)) {
      return at::zeros({directions, x.size(1), settings_.hidden}, x.options());
    }
    return settings_.batch_first ? call.in[input].transpose(0, 1)
                                 : call.in[input];
  }

  Cell CellOf(const Call& call, int64_t d) const {
    Cell cell;
    cell.w = call.in[1][d];
    cell.r = call.in[2][d];
    const int64_t rows = gates_ * settings_.hidden;
    if (call.Has(3)) {
      cell.wb = at::slice(call.in[3][d], 0, 0, rows);
      cell.rb = at::slice(call.in[3][d], 0, rows, 2 * rows);
    } else {
      cell.wb = cell.rb = at::zeros({rows}, cell.w.options());
    }
    if (call.Has(7)) cell.peephole = call.in[7][d];
    const size_t per_direction =
        settings_.activations.size() / call.in[1].size(0);
    cell.f = &settings_.activations[per_direction * d];
    cell.settings = &settings_;
    return cell;
  }

  bool CanFuse(const Call& call) const {
    return gates_ != 1 && settings_.plain_activations && settings_.clip == 0 &&
           !settings_.input_forget && settings_.forward && !call.Has(4) &&
           !call.Has(7) && (gates_ != 3 || settings_.linear_before_reset);
  }

  std::vector<Tensor> Fused(const Call& call, const Tensor& x, const Tensor& h,
                            const Tensor& c) const {
    const std::vector<int64_t> order = gates_ == 4
                                           ? std::vector<int64_t>{0, 2, 3, 1}
                                           : std::vector<int64_t>{1, 0, 2};
    std::vector<Tensor> weights;
    const int64_t directions = call.in[1].size(0);
    for (int64_t d = 0; d < directions; ++d) {
      const Cell cell = CellOf(call, d);
      for (const Tensor& part : {cell.w, cell.r, cell.wb, cell.rb}) {
        weights.push_back(Reorder(part, order));
      }
    }
    const bool both = directions == 2;
    Tensor y, last_h, last_c;
    if (gates_ == 4) {
      std::tie(y, last_h, last_c) =
          at::lstm(x, {h, c}, weights, true, 1, 0, false, both, false);
    } else {
      std::tie(y, last_h) =
          at::gru(x, h, weights, true, 1, 0, false, both, false);
    }
    y = y.reshape({y.size(0), y.size(1), directions, settings_.hidden})
            .transpose(1, 2);
    return Results(y, last_h, last_c);
  }

  // y: [time, directions, batch, hidden].
  std::vector<Tensor> Results(Tensor y, Tensor h, Tensor c) const {
    if (settings_.batch_first) {
      y = y.permute({2, 0, 1, 3});
      h = h.transpose(0, 1);
      if (c.defined()) c = c.transpose(0, 1);
    }
    return {y, h, c};
  }

  const Settings settings_;
  const int64_t gates_;
  const StepFunction step_;
};

KernelMaker Recurrent(std::vector<std::string> activations, int64_t gates,
                      StepFunction step) {
  return [=](const KernelContext& c) -> absl::StatusOr<Kernel> {
    auto settings = SettingsOf(c, activations);
    if (!settings.ok()) return settings.status();
    // Shared because std::function must be copyable.
    auto layer =
        std::make_shared<const Layer>(*std::move(settings), gates, step);
    return Kernel([layer](const Call& call) { return layer->Run(call); });
  };
}

}  // namespace

void AddRecurrentKernels(KernelTable* table) {
  (*table)["RNN"] = Recurrent({"Tanh"}, 1, RnnStep);
  (*table)["GRU"] = Recurrent({"Sigmoid", "Tanh"}, 3, GruStep);
  (*table)["LSTM"] = Recurrent({"Sigmoid", "Tanh", "Tanh"}, 4, LstmStep);
}

}  // namespace condense::runtime
