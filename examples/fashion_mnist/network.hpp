#pragma once

#include "matrix.hpp"

namespace fashion_mnist {

/// What training and distillation need of a model. A teacher of another kind implements these four functions
/// and takes the multilayer perceptron's place; nothing else changes.
class network {
 public:
  virtual ~network() = default;

  /// Logits [images, classes] for prediction: nothing is dropped, nothing is remembered.
  virtual matrix logits(const matrix& inputs) const = 0;

  /// What a hidden layer (0-based) puts out for prediction, [images, its width].
  virtual matrix hidden(const matrix& inputs, index layer) const = 0;

  /// Logits for training; remembers what backward needs. `step` picks what is dropped.
  virtual const matrix& forward(const matrix& inputs, std::int64_t step) = 0;

  /// Writes dLoss/dParameters for the inputs of the last forward, given dLoss/dLogits.
  virtual void backward(const matrix& logit_gradient) = 0;

  vector& parameters() { return parameters_; }
  const vector& parameters() const { return parameters_; }
  const vector& gradient() const { return gradient_; }

 protected:
  explicit network(index parameter_count) : parameters_(parameter_count), gradient_(parameter_count) {}

  vector parameters_;
  vector gradient_;
};

/// Logits of many images, a few hundred at a time.
matrix predict(const network& model, const pixel_matrix& pixels);

/// The same of a hidden layer.
matrix predict_hidden(const network& model, const pixel_matrix& pixels, index layer);

}  // namespace fashion_mnist
