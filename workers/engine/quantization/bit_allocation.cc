#include "workers/engine/quantization/bit_allocation.h"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace condense::quantization {
namespace {

// Choices for the first layers.
struct State {
  double cost = 0;
  double loss = 0;
  // Of the layer before, and what this layer takes.
  uint32_t from = 0;
  uint32_t choice = 0;
};

// Cheapest costs of all layers from each one on; 0 behind the last.
std::vector<double> CheapestFrom(
    const std::vector<std::vector<BitChoice>>& layers) {
  std::vector<double> rest(layers.size() + 1, 0);
  for (size_t i = layers.size(); i-- > 0;) {
    double least = std::numeric_limits<double>::infinity();
    for (const BitChoice& choice : layers[i]) {
      least = std::min(least, choice.cost);
    }
    rest[i] = rest[i + 1] + least;
  }
  return rest;
}

// Those that no other beats, by rising cost.
std::vector<State> Front(std::vector<State> states) {
  std::sort(states.begin(), states.end(), [](const State& a, const State& b) {
    return a.cost != b.cost ? a.cost < b.cost : a.loss < b.loss;
  });
  std::vector<State> front;
  for (const State& state : states) {
    if (front.empty() || state.loss < front.back().loss) {
      front.push_back(state);
    }
  }
  return front;
}

// At most `most` of a front: the cheapest, and of each range of cost the one
// with the least loss, which is the last.
std::vector<State> Thin(const std::vector<State>& front, size_t most) {
  if (front.size() <= most) return front;
  const double low = front.front().cost;
  const double width = (front.back().cost - low) / static_cast<double>(most);
  const auto range = [&](const State& state) {
    return static_cast<int64_t>((state.cost - low) / width);
  };
  std::vector<State> thin = {front.front()};
  for (size_t i = 1; i < front.size(); ++i) {
    const bool last =
        i + 1 == front.size() || range(front[i]) != range(front[i + 1]);
    if (last) thin.push_back(front[i]);
  }
  return thin;
}

}  // namespace

std::optional<std::vector<size_t>> AllocateBits(
    const std::vector<std::vector<BitChoice>>& layers, double budget,
    size_t states_max) {
  const std::vector<double> rest = CheapestFrom(layers);
  // Sums of doubles may end a rounding error above what they stand for.
  const double most = budget * (1 + 1e-12);
  if (rest[0] > most) return std::nullopt;
  std::vector<std::vector<State>> after = {{State()}};
  for (size_t i = 0; i < layers.size(); ++i) {
    std::vector<State> next;
    for (uint32_t from = 0; from < after[i].size(); ++from) {
      for (uint32_t c = 0; c < layers[i].size(); ++c) {
        const State state = {after[i][from].cost + layers[i][c].cost,
                             after[i][from].loss + layers[i][c].loss, from, c};
        if (state.cost + rest[i + 1] <= most) next.push_back(state);
      }
    }
    after.push_back(Thin(Front(std::move(next)), states_max));
  }
  // The last of a front loses the least.
  std::vector<size_t> chosen(layers.size());
  size_t at = after.back().size() - 1;
  for (size_t i = layers.size(); i-- > 0;) {
    chosen[i] = after[i + 1][at].choice;
    at = after[i + 1][at].from;
  }
  return chosen;
}

}  // namespace condense::quantization
