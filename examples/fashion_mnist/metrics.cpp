#include "metrics.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <distill/loss/cross_entropy.hpp>
#include <distill/numeric/softmax.hpp>
#include <limits>

#include "dataset.hpp"

namespace fashion_mnist {
namespace {

/// The class with the largest value of a row, and whether it is the label.
struct top_class {
  float value;
  bool correct;
};

top_class top(const matrix& values, const label_vector& labels, index row) {
  index predicted = 0;
  const float value = values.row(row).maxCoeff(&predicted);
  return {value, predicted == labels[static_cast<std::size_t>(row)]};
}

}  // namespace

double expected_calibration_error(const matrix& probabilities, const label_vector& labels) {
  constexpr std::size_t bins = 15;
  std::array<double, bins> surplus{};  // correct predictions minus summed confidence
  for (index row = 0; row < probabilities.rows(); ++row) {
    const auto [confidence, correct] = top(probabilities, labels, row);
    const auto bin = std::min(bins - 1, static_cast<std::size_t>(confidence * bins));
    surplus[bin] += (correct ? 1.0 : 0.0) - static_cast<double>(confidence);
  }
  double error = 0;
  for (double bin_surplus : surplus) error += std::abs(bin_surplus);
  return error / static_cast<double>(probabilities.rows());
}

scores evaluate(const matrix& logits, const label_vector& labels) {
  index correct = 0;
  for (index row = 0; row < logits.rows(); ++row) correct += top(logits, labels, row).correct ? 1 : 0;
  matrix probabilities(logits.rows(), logits.cols());
  distill::softmax(logits, probabilities);
  return {.accuracy = static_cast<double>(correct) / static_cast<double>(logits.rows()),
          .negative_log_likelihood = distill::cross_entropy{.labels = labels}(logits),
          .calibration_error = expected_calibration_error(probabilities, labels)};
}

double microseconds_per_image(const network& model, const pixel_matrix& pixels) {
  constexpr index image_count = 100;
  const matrix inputs = network_inputs(pixels.topRows(image_count));
  double fastest = std::numeric_limits<double>::infinity();
  for (int repetition = 0; repetition < 20; ++repetition) {
    const auto start = std::chrono::steady_clock::now();
    const matrix logits = model.logits(inputs);
    const std::chrono::duration<double, std::micro> elapsed = std::chrono::steady_clock::now() - start;
    fastest = std::min(fastest, elapsed.count() / static_cast<double>(logits.rows()));
  }
  return fastest;
}

}  // namespace fashion_mnist
