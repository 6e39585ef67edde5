#pragma once

// What the blocks of the documentation take for granted: logits, a gradient buffer, labels.
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <distill/distill.hpp>
#include <span>
#include <string>
#include <vector>

namespace {

[[maybe_unused]] constexpr std::size_t rows = 4, classes = 100;

inline std::vector<float> some_logits(double phase) {
  std::vector<float> logits(rows * classes);
  for (std::size_t i = 0; i < logits.size(); ++i)
    logits[i] = static_cast<float>(3 * std::sin(static_cast<double>(i) * 0.37 + phase));
  return logits;
}

[[maybe_unused]] std::vector<float> student_memory = some_logits(0), teacher_memory = some_logits(0.5),
                                    gradient_memory = some_logits(0), mask = {1, 1, 0, 1};
[[maybe_unused]] std::vector<std::int32_t> labels = {3, 99, 0, 42};
[[maybe_unused]] distill::matrix_view<const float> student(student_memory.data(), rows, classes);
[[maybe_unused]] distill::matrix_view<const float> teacher(teacher_memory.data(), rows, classes);
[[maybe_unused]] distill::matrix_view<float> gradient(gradient_memory.data(), rows, classes);

}  // namespace
