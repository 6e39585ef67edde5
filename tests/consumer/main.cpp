// A user's program: a loss against its formula, an objective, an error caught across the library's boundary.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <distill/dispatch.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/objective.hpp>
#include <span>
#include <string>
#include <vector>

#include "second_unit.hpp"

namespace {

constexpr std::size_t rows = 3, classes = 70;

double log_sum_exp(std::span<const float> logits, double temperature) {
  double sum = 0;
  for (const float z : logits) sum += std::exp(static_cast<double>(z) / temperature);
  return std::log(sum);
}

double formula(std::span<const float> student, std::span<const float> teacher, double temperature) {
  double value = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    const auto z = student.subspan(row * classes, classes), v = teacher.subspan(row * classes, classes);
    const double student_norm = log_sum_exp(z, temperature), teacher_norm = log_sum_exp(v, temperature);
    for (std::size_t i = 0; i < classes; ++i) {
      const double log_q = static_cast<double>(z[i]) / temperature - student_norm;
      const double log_p = static_cast<double>(v[i]) / temperature - teacher_norm;
      value += std::exp(log_p) * (log_p - log_q);
    }
  }
  return temperature * temperature * value / rows;
}

bool is_near(const char* what, double got, double expected) {
  const bool near = std::abs(got - expected) <= 1e-6 * std::abs(expected);
  if (!near) std::printf("%s: %.9g, expected %.9g\n", what, got, expected);
  return near;
}

}  // namespace

int main() {
  std::vector<float> student(rows * classes), teacher(rows * classes), gradient(rows * classes);
  for (std::size_t i = 0; i < student.size(); ++i) {
    student[i] = static_cast<float>(std::sin(0.7 * static_cast<double>(i)));
    teacher[i] = static_cast<float>(3 * std::cos(0.3 * static_cast<double>(i)));
  }
  const std::vector<std::int32_t> labels{0, 69, 5};
  const distill::matrix_view<const float> z(student.data(), rows, classes), v(teacher.data(), rows, classes);
  const distill::matrix_view<float> g(gradient.data(), rows, classes);

  const distill::forward_kl kl{.temperature = 2};
  const double value = kl(z, v, g);
  bool passed = is_near("formula", value, formula(student, teacher, 2));
  passed &= is_near("second unit", value_from_second_unit(student.data(), teacher.data(), rows, classes), value);

  const distill::cross_entropy ce{.labels = labels};
  const auto objective = 0.7 * kl + 0.3 * ce;
  const double sum = objective(z, v, g, {.reduction = distill::reduction::sum});
  passed &= is_near("objective", sum / rows, 0.7 * value + 0.3 * ce(z));

  std::string message;
  try {
    distill::forward_kl{.temperature = -1}(z, v);
  } catch (const distill::parameter_error& error) {
    message = error.what();
  }
  passed &= message == "forward_kl: temperature must be finite and > 0, got -1";
  std::printf("%s on %s: %s\n", to_string(objective).c_str(), distill::active_target().c_str(),
              passed ? "passed" : "failed");
  return passed ? 0 : 1;
}
