#pragma once

#include "matrix.hpp"

namespace fashion_mnist {

/// Adam with bias correction (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1).
class adam {
 public:
  explicit adam(index parameter_count)
      : mean_(vector::Zero(parameter_count)), square_(vector::Zero(parameter_count)) {}

  void step(vector& parameters, const vector& gradient, double learning_rate);

 private:
  vector mean_;
  vector square_;
  int steps_ = 0;
};

}  // namespace fashion_mnist
