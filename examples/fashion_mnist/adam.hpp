#pragma once

#include "matrix.hpp"

namespace fashion_mnist {

/// Adam with bias correction (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1). Its members are all that it
/// remembers.
struct adam {
  vector mean;
  vector square;
  std::int64_t steps = 0;

  explicit adam(index parameter_count)
      : mean(vector::Zero(parameter_count)), square(vector::Zero(parameter_count)) {}

  void step(vector& parameters, const vector& gradient, double learning_rate);
};

}  // namespace fashion_mnist
