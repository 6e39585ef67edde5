// Mistakes found in other implementations of these losses. Each test fails on the mistake its name describes.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <distill/loss/alpha_beta.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/jensen_shannon.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/loss/row_options.hpp>
#include <distill/loss/skewed_forward_kl.hpp>
#include <distill/loss/skewed_reverse_kl.hpp>
#include <distill/loss/soft_cross_entropy.hpp>
#include <distill/loss/total_variation.hpp>
#include <distill/numeric/bfloat16.hpp>
#include <distill/view/matrix_view.hpp>
#include <limits>
#include <vector>

#include "support/accuracy.hpp"
#include "support/random_logits.hpp"

using namespace distill;
using namespace support;

namespace {
bool all_finite(const std::vector<float>& values) {
  for (const float x : values)
    if (!std::isfinite(x)) return false;
  return true;
}
}  // namespace

TEST_CASE("a low temperature saturates the softmax without NaN") {
  for (const double temperature : {1e-3, 1e-6})
    for (const std::size_t classes : {5u, 60u}) {
      const logit_pair logits = independent_logits(4, classes, classes);
      const guarded_matrix<float> student(4, logits.student), teacher(4, logits.teacher);
      const auto check = [&](auto loss) {
        loss.temperature = temperature;
        std::vector<float> gradient(4 * classes);
        const double value = loss(student.view(), teacher.view(), matrix_view(gradient.data(), 4, classes));
        INFO(to_string(loss) << ", " << classes << " classes");
        CHECK(std::isfinite(value));
        CHECK(value >= 0);
        CHECK(all_finite(gradient));
      };
      check(forward_kl{});
      check(reverse_kl{});
      check(jensen_shannon{});
      check(skewed_forward_kl{});
      check(skewed_reverse_kl{});
      check(total_variation{});
      check(alpha_beta{});
      check(soft_cross_entropy{});
    }
}

TEST_CASE("a mixture of two probabilities that both underflow contributes nothing, not NaN") {
  for (const std::size_t classes : {3u, 40u}) {
    std::vector<float> student(classes, 0), teacher(classes, 0), gradient(classes);
    student[1] = -400;
    teacher[1] = -500;
    const matrix_view z(student.data(), 1, classes), t(teacher.data(), 1, classes);
    const matrix_view g(gradient.data(), 1, classes);
    for (const double value :
         {jensen_shannon{}(z, t, g), skewed_forward_kl{}(z, t, g), skewed_reverse_kl{}(z, t, g)}) {
      CHECK(std::abs(value) < 1e-12);
      CHECK(all_finite(gradient));
    }
  }
}

TEST_CASE("+inf is reported where the student excludes what the teacher allows, not hidden by a clamp") {
  const double infinity = std::numeric_limits<double>::infinity();
  const float student[] = {0, -std::numeric_limits<float>::infinity(), 0}, teacher[] = {0, 0, 0};
  CHECK(forward_kl{}(matrix_view(student, 1, 3), matrix_view(teacher, 1, 3)) == infinity);
  CHECK(reverse_kl{}(matrix_view(teacher, 1, 3), matrix_view(student, 1, 3)) == infinity);
}

TEST_CASE("a very unlikely class still has its gradient: no clamp on small probabilities") {
  const double student[] = {0, -60}, teacher[] = {-60, 0};
  double gradient[2];
  const double value =
      forward_kl{}(matrix_view(student, 1, 2), matrix_view(teacher, 1, 2), matrix_view(gradient, 1, 2));
  CHECK(value == Approx(60).epsilon(1e-12));
  CHECK(gradient[0] == Approx(1));
  CHECK(gradient[1] == Approx(-1));
}

TEST_CASE("a batch whose labels are all ignored gives 0, not 0 / 0") {
  const float student[] = {0, 1, 2, 3};
  float gradient[] = {7, 7, 7, 7};
  const std::int64_t labels[] = {-100, -100};
  CHECK(cross_entropy{.labels = labels}(matrix_view(student, 2, 2), no_teacher,
                                        matrix_view(gradient, 2, 2)) == 0);
  for (const float entry : gradient) CHECK(entry == 0);
}

TEST_CASE("batch_mean does not divide by the classes, and masked rows do not dilute it") {
  const double student[] = {0, std::log(2.0), 0, std::log(2.0), 50, 0}, teacher[] = {0, 0, 0, 0, 0, 50};
  const float mask[] = {1, 1, 0};
  const double one_row = 0.5 * std::log(1.5) + 0.5 * std::log(0.75);
  CHECK(forward_kl{}(matrix_view(student, 3, 2), matrix_view(teacher, 3, 2), no_gradient,
                     {.row_weights = mask}) == Approx(one_row).epsilon(1e-14));
}

TEST_CASE("T² multiplies value and gradient alike, whatever the reduction and with or without labels") {
  const logit_pair logits = independent_logits(3, 7, 2);
  const matrix_view z(logits.student.data(), 3, 7), t(logits.teacher.data(), 3, 7);
  const std::vector<std::int32_t> labels = {1, 2, 3};
  std::vector<double> with(21), without(21);
  for (const reduction how : {reduction::sum, reduction::batch_mean, reduction::mean}) {
    const double a = forward_kl{.temperature = 5}(z, t, matrix_view(with.data(), 3, 7), {.reduction = how});
    const double b = forward_kl{.temperature = 5, .temperature_squared = false}(
        z, t, matrix_view(without.data(), 3, 7), {.reduction = how});
    CHECK(a == Approx(25 * b).epsilon(1e-13));
    for (std::size_t i = 0; i < 21; ++i) CHECK(with[i] == Approx(25 * without[i]).epsilon(1e-12));
  }
  const cross_entropy hard{.labels = labels};
  CHECK((forward_kl{.temperature = 5} + hard)(z, t) - hard(z) ==
        Approx(25 * forward_kl{.temperature = 5, .temperature_squared = false}(z, t)).epsilon(1e-12));
}

TEST_CASE("gradients of nearly equal 16-bit logits do not cancel") {
  const logit_pair logits = near_equal_logits(8, 3000, 5);
  const guarded_matrix<bfloat16> student(8, logits.student), teacher(8, logits.teacher);
  for (const loss_case& loss : {case_of(forward_kl{}), case_of(reverse_kl{}), case_of(jensen_shannon{})}) {
    guarded_matrix<float> gradient(8, 3000);
    const deviation off = deviation_of(loss, student, teacher, gradient);
    INFO(loss.name);
    CHECK(off.value <= 1e-5);
    CHECK(off.gradient <= 5e-6);
  }
}

TEST_CASE("the smallest differences keep their digits") {
  for (const double deviation : {1e-2, 1e-3}) {
    const logit_pair logits = near_equal_logits(16, 50, 5, deviation);
    const guarded_matrix<double> student(16, logits.student), teacher(16, logits.teacher);
    guarded_matrix<double> gradient(16, 50);
    for (const loss_case& loss : {case_of(forward_kl{}), case_of(reverse_kl{}), case_of(jensen_shannon{})}) {
      const auto off = deviation_of(loss, student, teacher, gradient);
      INFO(loss.name << " " << deviation);
      CHECK(off.value <= 1e-8);
      CHECK(off.gradient <= 1e-12);
    }
  }
}

TEST_CASE("large common offsets of the logits do not matter") {
  const logit_pair logits = independent_logits(4, 9, 2);
  std::vector<double> shifted = logits.student;
  for (double& x : shifted) x += 1e6;
  const matrix_view z(logits.student.data(), 4, 9), t(logits.teacher.data(), 4, 9);
  CHECK(forward_kl{}(matrix_view(shifted.data(), 4, 9), t) == Approx(forward_kl{}(z, t)).epsilon(1e-8));
}
