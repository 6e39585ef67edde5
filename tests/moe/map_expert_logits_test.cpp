// Distilling a router: a student with the teacher's experts, and one with others.
#include <catch2/catch.hpp>
#include <distill/loss/forward_kl.hpp>

#include "moe/router_cases.hpp"
#include "support/block_executor.hpp"
#include "support/guarded_matrix.hpp"

using namespace router_cases;
using support::guarded_matrix;
using support::layout;

namespace {

const std::vector<std::int32_t> map = {0, 0, 2, -1, 2, 2, 1};

std::vector<real> mapped_oracle(const std::vector<double>& teacher, real temperature, std::size_t students) {
  std::vector<double> scaled = teacher;
  for (double& z : scaled) z /= static_cast<double>(temperature);
  const auto p = softmax_of(scaled, map.size());
  std::vector<real> result;
  for (std::size_t row = 0; row < p.size(); row += map.size()) {
    std::vector<real> sums(students);
    real total = 0;
    for (std::size_t i = 0; i < map.size(); ++i) {
      if (map[i] < 0) continue;
      sums[static_cast<std::size_t>(map[i])] += p[row + i];
      total += p[row + i];
    }
    for (const real sum : sums) result.push_back(std::log(sum / total));
  }
  return result;
}

}  // namespace

TEST_CASE("the probabilities of teacher experts add up on the student's") {
  const auto teacher = normal_values(20 * 7, 90, 2);
  for (const double temperature : {1.0, 4.0, 0.25})
    for (const layout how : {layout::compact, layout::column_major}) {
      const guarded_matrix<double> z(20, teacher, how);
      guarded_matrix<double> out(20, 3, how);
      distill::map_expert_logits(z.view(), map, out.view(), {.temperature = temperature});
      CHECK(out.is_intact());
      const auto expected = mapped_oracle(teacher, temperature, 3);
      for (std::size_t i = 0; i < 60; ++i)
        CHECK(out.at(i / 3, i % 3) == Approx(static_cast<double>(expected[i])).epsilon(1e-12).margin(1e-14));
    }
}

TEST_CASE("very unlikely experts keep their logarithm; nobody's expert is -inf") {
  const std::vector<double> teacher = {0, -3000, -1000, 5, -1001, -900, -2000};
  std::vector<double> out(4);
  distill::map_expert_logits(distill::matrix_view(teacher.data(), 1, 7), map,
                             distill::matrix_view(out.data(), 1, 4));
  CHECK(out[0] == 0);
  CHECK(out[1] == Approx(-2000));
  CHECK(out[2] == Approx(-900));
  CHECK(out[3] == -infinity);
}

TEST_CASE("rows without a distribution are NaN, the others are not touched by them") {
  auto teacher = normal_values(4 * 7, 91);
  teacher[3] = std::nan("");  // of an expert that is not taken over
  teacher[7] = infinity;
  for (const std::size_t i : {14, 15, 16, 18, 19, 20}) teacher[i] = -infinity;
  std::vector<double> out(12);
  distill::map_expert_logits(distill::matrix_view(teacher.data(), 4, 7), map,
                             distill::matrix_view(out.data(), 4, 3));
  for (std::size_t i = 0; i < 9; ++i) CHECK(std::isnan(out[i]));
  for (std::size_t i = 9; i < 12; ++i) CHECK(std::isfinite(out[i]));
}

TEST_CASE("element types and executors") {
  const auto teacher = as_doubles(converted<distill::bfloat16>(normal_values(50 * 7, 92)));
  const guarded_matrix<float> z(50, teacher);
  const guarded_matrix<distill::bfloat16> halves(50, teacher);
  guarded_matrix<float> a(50, 3), b(50, 3), c(50, 3);
  support::block_executor executor(3, 4);
  distill::map_expert_logits(z.view(), map, a.view());
  distill::map_expert_logits(halves.view(), map, b.view());
  distill::map_expert_logits(z.view(), map, c.view(), {.executor = executor});
  CHECK(executor.calls() == 1);
  CHECK(a.bits() == b.bits());
  CHECK(a.bits() == c.bits());
}

TEST_CASE("a router is distilled like any classifier") {
  const auto teacher = normal_values(30 * 7, 93), student = normal_values(30 * 7, 94);
  const distill::matrix_view<const double> s(student.data(), 30, 7), t(teacher.data(), 30, 7);
  std::vector<double> gradient(210), mapped(210);
  const distill::forward_kl loss{.temperature = 2};
  const double value = loss(s, t, distill::matrix_view(gradient.data(), 30, 7));
  // The map that changes nothing gives the same loss; its temperature is in the mapped logits already.
  const std::vector<std::int32_t> same = {0, 1, 2, 3, 4, 5, 6};
  distill::map_expert_logits(t, same, distill::matrix_view(mapped.data(), 30, 7), {.temperature = 2});
  const distill::matrix_view<const double> m(mapped.data(), 30, 7);
  const distill::forward_kl mapped_loss{.temperature = 2, .teacher_temperature = 1};
  CHECK(mapped_loss(s, m) == Approx(value / 2).epsilon(1e-12));
  // Fewer experts: gradient descent reaches the mapped distribution.
  std::vector<double> target(90), small(90);
  distill::map_expert_logits(t, map, distill::matrix_view(target.data(), 30, 3));
  std::vector<double> step(90);
  const distill::matrix_view<const double> to(target.data(), 30, 3);
  const distill::forward_kl plain{};
  double last = 0;
  for (int i = 0; i < 300; ++i) {
    last = plain(distill::matrix_view<const double>(small.data(), 30, 3), to,
                 distill::matrix_view(step.data(), 30, 3));
    for (std::size_t j = 0; j < 90; ++j) small[j] -= 60 * step[j];
  }
  CHECK(last < 1e-10);
  const auto reached = softmax_of(small, 3);
  for (std::size_t i = 0; i < 90; ++i)
    CHECK(static_cast<double>(std::log(reached[i])) == Approx(target[i]).margin(1e-4));
}
