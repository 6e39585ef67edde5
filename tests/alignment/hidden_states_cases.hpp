// The losses on hidden states beside the oracle's formulas.
#pragma once

#include <catch2/catch.hpp>
#include <distill/alignment/hidden_cosine.hpp>
#include <distill/alignment/hidden_huber.hpp>
#include <distill/alignment/hidden_mse.hpp>
#include <distill/alignment/normalized_mse.hpp>
#include <distill/error/error.hpp>
#include <distill/loss/row_options.hpp>
#include <string>
#include <vector>

#include "alignment/feature_oracle.hpp"
#include "support/accuracy.hpp"
#include "support/guarded_matrix.hpp"
#include "support/random_logits.hpp"

namespace hidden_cases {

struct hidden_case {
  std::string name;
  feature_oracle::hidden kind;
  double delta = 1;

  template <class S, class T, class G = distill::no_gradient_t>
  double operator()(const S& student, const T& teacher, G gradient = {},
                    const distill::row_options& rows = {}) const {
    using feature_oracle::hidden;
    switch (kind) {
      case hidden::mse:
        return distill::hidden_mse{}(student, teacher, gradient, rows);
      case hidden::huber:
        return distill::hidden_huber{.delta = delta}(student, teacher, gradient, rows);
      case hidden::cosine:
        return distill::hidden_cosine{}(student, teacher, gradient, rows);
      default:
        return distill::normalized_mse{}(student, teacher, gradient, rows);
    }
  }
  bool sums_over_width() const { return kind != feature_oracle::hidden::cosine; }
};

inline std::vector<hidden_case> all_cases() {
  using feature_oracle::hidden;
  return {{"hidden_mse", hidden::mse},
          {"hidden_huber", hidden::huber},
          {"hidden_huber 0.3", hidden::huber, 0.3},
          {"hidden_cosine", hidden::cosine},
          {"normalized_mse", hidden::normalized_mse}};
}

/// Relative, of the value and of the largest gradient entry.
struct bounds {
  double value, gradient;
};

template <class Student, class Teacher, class Gradient>
void check_against_oracle(const hidden_case& loss, const support::logit_pair& pair, support::layout how,
                          std::size_t offset, bounds allowed) {
  using namespace support;
  const guarded_matrix<Student> student(pair.rows, pair.student, how, offset);
  const guarded_matrix<Teacher> teacher(pair.rows, pair.teacher, how, offset + 1);
  guarded_matrix<Gradient> gradient(pair.rows, pair.classes, how, 2 * offset + 1);
  const double value = loss(student.view(), teacher.view(), gradient.view());
  const oracle::answer expected =
      feature_oracle::hidden_states(loss.kind, loss.delta, student.exact(), teacher.exact());
  INFO(loss.name << ", " << pair.rows << " x " << pair.classes << ", " << name_of(how) << ", offset "
                 << offset);
  const double value_error = relative(value, expected.value),
               error = relative(gradient.exact(), expected.gradient);
  CAPTURE(value_error, error);
  CHECK(value_error <= allowed.value);
  CHECK(error <= allowed.gradient + rounding_of(distill::element_traits<Gradient>::type));
  CHECK(gradient.is_intact());
  CHECK(relative(loss(student.view(), teacher.view()), value) < 1e-7);
}

}  // namespace hidden_cases
