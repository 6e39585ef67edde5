#include "adam.hpp"

#include <algorithm>
#include <cmath>

namespace fashion_mnist {

void adam::step(vector& parameters, const vector& gradient, double learning_rate) {
  constexpr float mean_decay = 0.9F;
  constexpr float square_decay = 0.999F;
  constexpr float epsilon = 1e-8F;
  constexpr index block = 4096;  // four vectors of it fit in cache: one pass over memory instead of three
  ++steps;
  const double square_correction = std::sqrt(1 - std::pow(square_decay, steps));
  const auto rate = static_cast<float>(learning_rate * square_correction / (1 - std::pow(mean_decay, steps)));
  const auto corrected_epsilon = static_cast<float>(epsilon * square_correction);
  for (index begin = 0; begin < parameters.size(); begin += block) {
    const index count = std::min(block, parameters.size() - begin);
    const auto slope = gradient.segment(begin, count).array();
    auto means = mean.segment(begin, count).array();
    auto squares = square.segment(begin, count).array();
    means = mean_decay * means + (1 - mean_decay) * slope;
    squares = square_decay * squares + (1 - square_decay) * slope.square();
    parameters.segment(begin, count).array() -= rate * means / (squares.sqrt() + corrected_epsilon);
  }
}

}  // namespace fashion_mnist
