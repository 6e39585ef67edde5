// Values and gradients computed outside, by golden.py.
#include <catch2/catch.hpp>
#include <cstdint>
#include <distill/loss/alpha_beta.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/jensen_shannon.hpp>
#include <distill/loss/logit_mse.hpp>
#include <distill/loss/loss_term.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/loss/skewed_forward_kl.hpp>
#include <distill/loss/skewed_reverse_kl.hpp>
#include <distill/loss/soft_cross_entropy.hpp>
#include <distill/loss/total_variation.hpp>
#include <distill/view/matrix_view.hpp>
#include <fstream>
#include <string>
#include <vector>

using namespace distill;

namespace {

constexpr std::size_t kRows = 2, kClasses = 5;
const std::vector<double> kStudent = {0.5, -1.25, 2, 0, 3.75, -0.125, 1, 1, -6, 0.25};
const std::vector<double> kTeacher = {1, 0.75, -2, 0.5, 3, 2.5, -0.5, 0.125, -3, -1};
const std::vector<std::int64_t> kLabels = {4, 0};

struct golden {
  std::string name;
  double temperature, teacher_temperature;
  int squared;
  double alpha, beta, value;
  std::vector<double> gradient = std::vector<double>(kRows * kClasses);
};

std::vector<golden> read_all() {
  std::ifstream file(DISTILL_GOLDEN_FILE);
  std::vector<golden> all;
  for (golden one; file >> one.name >> one.temperature >> one.teacher_temperature >> one.squared >>
                   one.alpha >> one.beta >> one.value;) {
    for (double& x : one.gradient) file >> x;
    all.push_back(one);
  }
  return all;
}

template <class L>
loss_term with_temperatures(L loss, const golden& g) {
  loss.temperature = g.temperature;
  loss.teacher_temperature = g.teacher_temperature;
  loss.temperature_squared = g.squared != 0;
  return loss.term();
}

loss_term term_of(const golden& g) {
  if (g.name == "forward_kl") return with_temperatures(forward_kl{}, g);
  if (g.name == "reverse_kl") return with_temperatures(reverse_kl{}, g);
  if (g.name == "jensen_shannon") return with_temperatures(jensen_shannon{.beta = g.beta}, g);
  if (g.name == "skewed_forward_kl") return with_temperatures(skewed_forward_kl{.alpha = g.alpha}, g);
  if (g.name == "skewed_reverse_kl") return with_temperatures(skewed_reverse_kl{.alpha = g.alpha}, g);
  if (g.name == "total_variation") return with_temperatures(total_variation{}, g);
  if (g.name == "soft_cross_entropy") return with_temperatures(soft_cross_entropy{}, g);
  if (g.name == "alpha_beta") return with_temperatures(alpha_beta{.alpha = g.alpha, .beta = g.beta}, g);
  if (g.name == "cross_entropy")
    return cross_entropy{.labels = kLabels, .temperature = g.temperature, .label_smoothing = g.alpha}.term();
  REQUIRE(g.name == "logit_mse");
  return logit_mse{}.term();
}

template <class T>
void check(const golden& g, double value_allowed, double gradient_allowed) {
  const std::vector<T> student(kStudent.begin(), kStudent.end()), teacher(kTeacher.begin(), kTeacher.end());
  std::vector<T> gradient(kRows * kClasses);
  const loss_term term = term_of(g);
  const double value = evaluate(term.name, {&term, 1}, matrix_view(student.data(), kRows, kClasses),
                                matrix_view(teacher.data(), kRows, kClasses),
                                matrix_view(gradient.data(), kRows, kClasses), {});
  INFO(to_string(term));
  CHECK(value == Approx(g.value).epsilon(value_allowed));
  double largest = 0;
  for (const double x : g.gradient) largest = std::max(largest, std::abs(x));
  for (std::size_t i = 0; i < gradient.size(); ++i)
    CHECK(static_cast<double>(gradient[i]) ==
          Approx(g.gradient[i]).epsilon(0).margin(gradient_allowed * largest));
}

}  // namespace

TEST_CASE("the golden values, in double and float") {
  const std::vector<golden> all = read_all();
  REQUIRE(all.size() == 67);
  for (const golden& g : all) {
    check<double>(g, 1e-13, 1e-13);
    check<float>(g, 2e-6, 1e-5);
  }
}
