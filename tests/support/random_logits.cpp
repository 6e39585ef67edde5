#include "support/random_logits.hpp"

#include <cmath>
#include <numbers>

namespace support {

std::uint64_t random_source::bits() {
  state_ += 0x9e3779b97f4a7c15u;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

double random_source::uniform() { return (static_cast<double>(bits() >> 11) + 0.5) * 0x1p-53; }

double random_source::normal() {
  const double radius = std::sqrt(-2 * std::log(uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

logit_pair independent_logits(std::size_t rows, std::size_t classes, std::uint64_t seed, double deviation) {
  random_source random(seed);
  logit_pair pair{rows, classes, std::vector<double>(rows * classes), std::vector<double>(rows * classes)};
  for (double& x : pair.student) x = deviation * random.normal();
  for (double& x : pair.teacher) x = deviation * random.normal();
  return pair;
}

logit_pair near_equal_logits(std::size_t rows, std::size_t classes, std::uint64_t seed, double deviation) {
  logit_pair pair = independent_logits(rows, classes, seed);
  for (std::size_t i = 0; i < pair.student.size(); ++i)
    pair.student[i] = pair.teacher[i] + deviation / 3 * pair.student[i];
  return pair;
}

}  // namespace support
