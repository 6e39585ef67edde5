#include "soft_label.hpp"

#include <algorithm>
#include <distill/numeric/softmax.hpp>

namespace fashion_mnist {
namespace {

/// Right, and not sure of it.
bool tells_more_than_the_label(vector probabilities, index label) {
  constexpr float least_second_choice = 0.05F;
  const float first = probabilities(label);
  if (first < probabilities.maxCoeff()) return false;
  probabilities(label) = 0;
  return probabilities.maxCoeff() >= least_second_choice;
}

}  // namespace

std::vector<soft_label> pick_soft_labels(const labelled_images& images, const matrix& teacher_logits,
                                         std::size_t count) {
  matrix probabilities(teacher_logits.rows(), class_count);
  matrix softened(teacher_logits.rows(), class_count);
  distill::softmax(teacher_logits, probabilities);
  distill::softmax(teacher_logits, softened, {.temperature = softening_temperature});
  std::vector<soft_label> picked;
  for (index row = 0; row < images.size() && picked.size() < count; ++row) {
    const index label = images.labels[static_cast<std::size_t>(row)];
    const bool seen =
        std::any_of(picked.begin(), picked.end(), [&](const auto& p) { return p.label == label; });
    if (seen || !tells_more_than_the_label(probabilities.row(row), label)) continue;
    picked.push_back({images.pixels.row(row), label, probabilities.row(row), softened.row(row)});
  }
  return picked;
}

}  // namespace fashion_mnist
