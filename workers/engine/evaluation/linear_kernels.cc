#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "workers/engine/evaluation/kernels.h"
#include "workers/engine/graph/window.h"

namespace condense::evaluation {
namespace {

// One row of products. The compiler vectorises both.
int32_t Dot(const int16_t* a, const int16_t* b, int64_t n) {
  int32_t sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += int32_t{a[i]} * int32_t{b[i]};
  return sum;
}

int64_t Dot(const int32_t* a, const int32_t* b, int64_t n) {
  int64_t sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += int64_t{a[i]} * int64_t{b[i]};
  return sum;
}

float Dot(const float* a, const float* b, int64_t n) {
  float lanes[16] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int j = 0; j < 16; ++j) lanes[j] += a[i + j] * b[i + j];
  }
  float sum = 0;
  for (; i < n; ++i) sum += a[i] * b[i];
  for (float lane : lanes) sum += lane;
  return sum;
}

// What turns an accumulator into a real number.
struct Scaling {
  std::vector<double> factor;
  std::vector<double> bias;
  double Apply(double sum, size_t channel) const {
    return sum * factor[factor.size() == 1 ? 0 : channel] +
           (bias.empty() ? 0 : bias[channel]);
  }
};

// Integer biases join the accumulator exactly: their scale is its scale.
Scaling ScalingOf(const Activation& x, const Constant& weight,
                  const Constant* bias, bool integers) {
  Scaling scaling;
  if (integers) {
    for (float s : weight.scales) {
      scaling.factor.push_back(double{x.scale} * s);
    }
  } else {
    scaling.factor = {1};
  }
  if (bias == nullptr) return scaling;
  for (size_t i = 0; i < std::max(bias->levels.size(), bias->values.size());
       ++i) {
    if (bias->levels.empty()) {
      scaling.bias.push_back(bias->values[i]);
    } else {
      scaling.bias.push_back(
          double{bias->scales[bias->scales.size() == 1 ? 0 : i]} *
          bias->levels[i]);
    }
  }
  return scaling;
}

struct ConvShape {
  int64_t n, in, height, width, out, kernel_h, kernel_w, out_h, out_w, group;
  graph::Window window;
};

ConvShape ShapeOf(const graph::Node& node, const Activation& x,
                  const Constant& w) {
  ConvShape s;
  s.n = x.dims[0];
  s.in = x.dims[1];
  s.height = x.dims[2];
  s.width = x.dims[3];
  s.out = w.dims[0];
  s.kernel_h = w.dims[2];
  s.kernel_w = w.dims[3];
  s.group = node.Int("group", 1);
  const int64_t kernel[] = {s.kernel_h, s.kernel_w};
  const int64_t spatial[] = {s.height, s.width};
  s.window = graph::WindowOf(node, kernel, spatial);
  s.out_h = s.window.OutputSize(0, s.height);
  s.out_w = s.window.OutputSize(1, s.width);
  return s;
}

// The inputs of one output pixel and group, in the order of a weight's row.
template <typename T>
void Gather(const ConvShape& s, const T* image, int64_t group, int64_t oy,
            int64_t ox, T* row) {
  const int64_t channels = s.in / s.group;
  for (int64_t c = 0; c < channels; ++c) {
    const T* plane = image + (group * channels + c) * s.height * s.width;
    for (int64_t ky = 0; ky < s.kernel_h; ++ky) {
      const int64_t y = oy * s.window.strides[0] - s.window.pads_begin[0] +
                        ky * s.window.dilations[0];
      for (int64_t kx = 0; kx < s.kernel_w; ++kx) {
        const int64_t x = ox * s.window.strides[1] - s.window.pads_begin[1] +
                          kx * s.window.dilations[1];
        const bool inside = y >= 0 && y < s.height && x >= 0 && x < s.width;
        *row++ = inside ? plane[y * s.width + x] : T{0};
      }
    }
  }
}

template <typename T>
void Convolve(const ConvShape& s, const std::vector<T>& x,
              const std::vector<T>& w, const Scaling& scaling,
              std::vector<float>* out) {
  const int64_t row_size = s.in / s.group * s.kernel_h * s.kernel_w;
  const int64_t per_group = s.out / s.group;
  std::vector<T> row(row_size);
  out->resize(s.n * s.out * s.out_h * s.out_w);
  for (int64_t n = 0; n < s.n; ++n) {
    const T* image = x.data() + n * s.in * s.height * s.width;
    for (int64_t g = 0; g < s.group; ++g) {
      for (int64_t oy = 0; oy < s.out_h; ++oy) {
        for (int64_t ox = 0; ox < s.out_w; ++ox) {
          Gather(s, image, g, oy, ox, row.data());
          for (int64_t o = g * per_group; o < (g + 1) * per_group; ++o) {
            const auto sum = Dot(row.data(), w.data() + o * row_size, row_size);
            (*out)[((n * s.out + o) * s.out_h + oy) * s.out_w + ox] =
                static_cast<float>(scaling.Apply(static_cast<double>(sum), o));
          }
        }
      }
    }
  }
}

// Levels less the zero point.
template <typename T>
std::vector<T> Centered(const std::vector<int32_t>& levels, int32_t zero) {
  std::vector<T> out(levels.size());
  for (size_t i = 0; i < levels.size(); ++i) {
    out[i] = static_cast<T>(levels[i] - zero);
  }
  return out;
}

int64_t Largest(const std::vector<int32_t>& levels, int32_t zero) {
  int64_t most = 0;
  for (int32_t level : levels) {
    most = std::max(most, std::abs(int64_t{level} - zero));
  }
  return most;
}

// Whether sums of `count` products fit into 32 bits, their factors into 16.
bool AreNarrow(const Activation& x, const Constant& weight, int64_t count) {
  constexpr int64_t kFactor = 32767, kSum = 2147483647;
  const int64_t a = Largest(x.levels, x.zero_point);
  const int64_t b = Largest(weight.levels, 0);
  return a <= kFactor && b <= kFactor &&
         a * b <= kSum / std::max<int64_t>(1, count);
}

}  // namespace

int64_t Activation::size() const {
  int64_t count = 1;
  for (int64_t dim : dims) count *= dim;
  return count;
}

Activation RunConv(const graph::Node& node, const Activation& x,
                   const Constant& weight, const Constant* bias) {
  const ConvShape shape = ShapeOf(node, x, weight);
  const bool integers = x.quantized() && !weight.levels.empty();
  const Scaling scaling = ScalingOf(x, weight, bias, integers);
  Activation out;
  out.dims = {shape.n, shape.out, shape.out_h, shape.out_w};
  const auto convolve = [&]<typename T>(T) {
    Convolve(shape, Centered<T>(x.levels, x.zero_point),
             Centered<T>(weight.levels, 0), scaling, &out.values);
  };
  const int64_t count =
      shape.in / shape.group * shape.kernel_h * shape.kernel_w;
  if (integers && AreNarrow(x, weight, count)) {
    convolve(int16_t{});
  } else if (integers) {
    convolve(int32_t{});
  } else {
    Convolve(shape, x.values, weight.values, scaling, &out.values);
  }
  return out;
}

Activation RunLinear(const Activation& x, const Constant& weight,
                     const Constant* bias) {
  const int64_t out_size = weight.dims[0], in_size = weight.dims[1];
  const int64_t rows = x.size() / in_size;
  const bool integers = x.quantized() && !weight.levels.empty();
  const Scaling scaling = ScalingOf(x, weight, bias, integers);
  Activation out;
  out.dims = x.dims;
  out.dims.back() = out_size;
  out.values.resize(rows * out_size);
  auto multiply = [&](const auto& a, const auto& b) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t o = 0; o < out_size; ++o) {
        const auto sum =
            Dot(a.data() + r * in_size, b.data() + o * in_size, in_size);
        out.values[r * out_size + o] =
            static_cast<float>(scaling.Apply(static_cast<double>(sum), o));
      }
    }
  };
  const auto multiply_as = [&]<typename T>(T) {
    multiply(Centered<T>(x.levels, x.zero_point),
             Centered<T>(weight.levels, 0));
  };
  if (integers && AreNarrow(x, weight, in_size)) {
    multiply_as(int16_t{});
  } else if (integers) {
    multiply_as(int32_t{});
  } else {
    multiply(x.values, weight.values);
  }
  return out;
}

}  // namespace condense::evaluation
