// Every SIMD target this processor runs, at the sizes where vectors begin and end.
#include <catch2/catch.hpp>
#include <distill/dispatch.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/loss/loss_term.hpp>
#include <distill/numeric/bfloat16.hpp>
#include <distill/numeric/float16.hpp>
#include <string>
#include <vector>

#include "support/accuracy.hpp"
#include "support/every_target.hpp"
#include "support/random_logits.hpp"
#include "support/tolerance.hpp"

using namespace distill;
using namespace support;

namespace {

// Vectors hold 4, 8 or 16 floats; 1, N - 1, N, N + 1, 8 N + 2 of each.
constexpr std::size_t kSizes[] = {1,  2,  3,  4,  5,  7,  8,  9,  15,  16, 17,
                                  31, 32, 33, 34, 63, 64, 65, 66, 130, 258};

template <class Student, class Teacher, class Gradient>
void check(const loss_case& loss, const logit_pair& logits, std::size_t offset, tolerance allowed) {
  const guarded_matrix<Student> student(logits.rows, logits.student, layout::padded_rows, offset);
  const guarded_matrix<Teacher> teacher(logits.rows, logits.teacher, layout::padded_rows, offset + 1);
  guarded_matrix<Gradient> gradient(logits.rows, logits.classes, layout::padded_rows, 2 * offset + 1);
  const deviation off = deviation_of(loss, student, teacher, gradient);
  if (logits.classes == 1) allowed.absolute_value = allowed.absolute_gradient = 1e-5;
  INFO(loss.name << ", " << logits.rows << " x " << logits.classes << ", offset " << offset << ", "
                 << name_of(element_traits<Student>::type) << " and "
                 << name_of(element_traits<Teacher>::type));
  CAPTURE(off.value, allowed.value);
  CHECK(off.value_within(allowed));
  CAPTURE(off.gradient, allowed.gradient);
  CHECK(off.gradient_within(allowed, element_traits<Gradient>::type));
  CHECK(gradient.is_intact());
}

tolerance allowed_by(const loss_case& loss) {
  tolerance result{0, 0};
  for (const loss_term& term : loss.terms) result = looser(result, independent_tolerance(term));
  return result;
}

}  // namespace

TEST_CASE("the best target is active until another is forced") {
  const restored_target restore;
  const std::vector<std::string> targets = available_targets();
  REQUIRE(!targets.empty());
  CHECK(active_target() == targets.front());
  force_target(targets.back());
  CHECK(active_target() == targets.back());
  CHECK(available_targets() == targets);
  force_target("");
  CHECK(active_target() == targets.front());
  CHECK_THROWS_AS(force_target("PDP11"), parameter_error);
  CHECK(active_target() == targets.front());
}

TEST_CASE("every target, size and misalignment against the oracle") {
  on_every_target([] {
    for (const std::size_t classes : kSizes)
      for (const loss_case& loss : default_cases(9, classes)) {
        const logit_pair logits = independent_logits(9, classes, classes + 1000);
        for (const std::size_t offset : {0u, 1u, 5u})
          check<float, float, float>(loss, logits, offset, allowed_by(loss));
        check<double, double, double>(loss, logits, 1, {1e-11, 1e-11, 1e-15, 1e-15});
      }
  });
}

TEST_CASE("every target with 16-bit elements") {
  on_every_target([] {
    for (const std::size_t classes : kSizes)
      for (const loss_case& loss : default_cases(9, classes)) {
        const logit_pair logits = independent_logits(9, classes, classes);
        check<bfloat16, bfloat16, bfloat16>(loss, logits, 1, allowed_by(loss));
        check<float16, float16, float16>(loss, logits, 3, allowed_by(loss));
        check<bfloat16, float, float>(loss, logits, 1, allowed_by(loss));
        check<float16, bfloat16, float>(loss, logits, 3, allowed_by(loss));
      }
  });
}

TEST_CASE("every target with few classes and as many rows as lanes, one less, one more") {
  on_every_target([] {
    for (const std::size_t rows : {1u, 3u, 4u, 5u, 7u, 8u, 9u, 15u, 16u, 17u, 33u})
      for (const std::size_t classes : {2u, 4u, 10u}) {
        for (const loss_case& loss : default_cases(rows, classes))
          check<float, float, float>(loss, independent_logits(rows, classes, rows), 1, allowed_by(loss));
      }
  });
}

TEST_CASE("every target with 50257 classes") {
  const logit_pair logits = independent_logits(1, 50257, 1);
  const guarded_matrix<float> student(1, logits.student, layout::compact, 1), teacher(1, logits.teacher);
  for (const loss_case& loss : default_cases(1, 50257)) {
    const oracle::answer expected = oracle::evaluate(loss.formulas, student.exact(), teacher.exact());
    const tolerance allowed = allowed_by(loss);
    on_every_target([&] {
      guarded_matrix<float> gradient(1, 50257);
      INFO(loss.name);
      CHECK(relative(loss(student.view(), teacher.view(), gradient.view()), expected.value) <=
            2 * allowed.value);
      CHECK(relative(gradient.exact(), expected.gradient) <= allowed.gradient);
      CHECK(gradient.is_intact());
    });
  }
}
