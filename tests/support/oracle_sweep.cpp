#include "support/oracle_sweep.hpp"

#include <catch2/catch.hpp>

#include "support/accuracy.hpp"
#include "support/random_logits.hpp"
#include "support/tolerance.hpp"

namespace support {

namespace {

using distill::bfloat16;
using distill::element_traits;
using distill::float16;

// In an objective the loosest of its losses decides.
template <class F>
tolerance loosest(const loss_case& loss, F tolerance_of) {
  tolerance result{0, 0};
  for (const distill::loss_term& term : loss.terms) result = looser(result, tolerance_of(term));
  return result;
}

template <class Student, class Teacher, class Gradient>
void check(const loss_case& loss, const logit_pair& logits, tolerance allowed,
           layout student_layout = layout::compact, layout teacher_layout = layout::compact,
           layout gradient_layout = layout::compact) {
  const guarded_matrix<Student> student(logits.rows, logits.student, student_layout);
  const guarded_matrix<Teacher> teacher(logits.rows, logits.teacher, teacher_layout);
  guarded_matrix<Gradient> gradient(logits.rows, logits.classes, gradient_layout);
  const deviation off = deviation_of(loss, student, teacher, gradient);
  // What must be exactly 0 is special_values_test's concern.
  if (logits.classes == 1) allowed.absolute_value = allowed.absolute_gradient = 1e-5;
  INFO(loss.name << ", " << logits.rows << " x " << logits.classes << ", student "
                 << name_of(element_traits<Student>::type) << " " << name_of(student_layout) << ", teacher "
                 << name_of(element_traits<Teacher>::type) << " " << name_of(teacher_layout) << ", gradient "
                 << name_of(element_traits<Gradient>::type) << " " << name_of(gradient_layout));
  CAPTURE(off.value, allowed.value);
  CHECK(off.value_within(allowed));
  CAPTURE(off.gradient, allowed.gradient);
  CHECK(off.gradient_within(allowed, element_traits<Gradient>::type));
  CHECK(gradient.is_intact());
  const double with_gradient = loss(student.view(), teacher.view(), gradient.view());
  const double value_only = loss(student.view(), teacher.view());
  CHECK(value_only == Approx(with_gradient).epsilon(2 * allowed.value).margin(allowed.absolute_value));
}

}  // namespace

void check_shapes(const case_maker& make) {
  constexpr std::size_t class_counts[] = {1, 2, 3, 4, 5, 10, 31, 32, 33, 63, 64, 65, 127, 128, 1000};
  for (const std::size_t classes : class_counts)
    for (const std::size_t rows : {1u, 2u, 37u}) {
      const loss_case loss = make(rows, classes);
      check<float, float, float>(loss, independent_logits(rows, classes, 17 * rows + classes),
                                 loosest(loss, independent_tolerance));
    }
  const loss_case loss = make(2, 50257);
  check<float, float, float>(loss, independent_logits(2, 50257, 1), loosest(loss, independent_tolerance));
}

void check_double(const case_maker& make) {
  for (const std::size_t classes : {1u, 2u, 5u, 17u, 33u, 129u, 5003u})
    for (const std::size_t rows : {1u, 13u}) {
      const loss_case loss = make(rows, classes);
      check<double, double, double>(loss, independent_logits(rows, classes, 3 * rows + classes),
                                    loosest(loss, double_tolerance));
    }
}

void check_element_types(const case_maker& make) {
  for (const std::size_t classes : {7u, 100u}) {
    const loss_case loss = make(19, classes);
    const tolerance allowed = loosest(loss, independent_tolerance);
    const logit_pair logits = independent_logits(19, classes, classes);
    check<float, double, float>(loss, logits, allowed);
    check<float, bfloat16, float>(loss, logits, allowed);
    check<float, float16, float>(loss, logits, allowed);
    check<double, float, double>(loss, logits, loosest(loss, double_tolerance));
    check<double, bfloat16, double>(loss, logits, loosest(loss, double_tolerance));
    check<bfloat16, float, bfloat16>(loss, logits, allowed);
    check<bfloat16, bfloat16, bfloat16>(loss, logits, allowed);
    check<bfloat16, bfloat16, float>(loss, logits, allowed);
    check<bfloat16, double, float>(loss, logits, allowed);
    check<bfloat16, float16, float>(loss, logits, allowed);
    check<float16, float, float16>(loss, logits, allowed);
    check<float16, float16, float16>(loss, logits, allowed);
    check<float16, float16, float>(loss, logits, allowed);
    check<float16, bfloat16, float16>(loss, logits, allowed);
  }
}

void check_layouts(const case_maker& make) {
  constexpr layout layouts[] = {layout::compact,        layout::padded_rows, layout::column_major,
                                layout::padded_columns, layout::every_third, layout::reversed_rows};
  constexpr std::size_t count = std::size(layouts);
  for (const std::size_t classes : {3u, 6u, 61u})
    for (std::size_t i = 0; i < count; ++i) {
      const loss_case loss = make(21, classes);
      const logit_pair logits = independent_logits(21, classes, i);
      const layout own = layouts[i], other = layouts[(i + 1) % count], third = layouts[(i + 3) % count];
      const tolerance in_float = loosest(loss, independent_tolerance),
                      in_double = loosest(loss, double_tolerance);
      check<float, float, float>(loss, logits, in_float, own, own, own);
      check<float, float, float>(loss, logits, in_float, own, other, third);
      check<double, double, double>(loss, logits, in_double, own, other, third);
      check<bfloat16, bfloat16, bfloat16>(loss, logits, in_float, own, other, third);
      check<float16, float16, float>(loss, logits, in_float, own, own, other);
    }
}

void check_near_equal(const case_maker& make) {
  for (const auto& [rows, classes] :
       {std::pair<std::size_t, std::size_t>{64, 10}, {16, 32}, {16, 1000}, {1, 128256}}) {
    const loss_case loss = make(rows, classes);
    check<float, float, float>(loss, near_equal_logits(rows, classes, classes),
                               loosest(loss, near_equal_tolerance));
  }
}

void check_against_oracle(const case_maker& make) {
  check_shapes(make);
  check_double(make);
  check_element_types(make);
  check_layouts(make);
  check_near_equal(make);
}

}  // namespace support
