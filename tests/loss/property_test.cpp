#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <distill/loss/alpha_beta.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/divergence.hpp>
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
#include <numeric>
#include <vector>

#include "support/loss_cases.hpp"

using namespace distill;
using namespace support;

namespace {

struct sample {
  std::size_t rows, classes;
  std::vector<double> student, teacher;
  matrix_view<const double> z() const { return {student.data(), rows, classes}; }
  matrix_view<const double> t() const { return {teacher.data(), rows, classes}; }
};

rc::Gen<double> logit() {
  return rc::gen::map(rc::gen::inRange(-6000, 6001), [](int i) { return i / 1000.0; });
}

sample arbitrary_sample() {
  const auto rows = *rc::gen::inRange<std::size_t>(1, 6), classes = *rc::gen::inRange<std::size_t>(1, 50);
  return {rows, classes, *rc::gen::container<std::vector<double>>(rows * classes, logit()),
          *rc::gen::container<std::vector<double>>(rows * classes, logit())};
}

struct result {
  double value;
  std::vector<double> gradient;
};

template <class L>
result evaluate_on(const L& loss, const sample& s) {
  result r{0, std::vector<double>(s.rows * s.classes)};
  r.value = loss(s.z(), s.t(), matrix_view<double>(r.gradient.data(), s.rows, s.classes));
  return r;
}

bool near(double a, double b, double allowed = 1e-10) {
  return std::abs(a - b) <= allowed * std::max({1.0, std::abs(a), std::abs(b)});
}
bool near(const std::vector<double>& a, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!near(a[i], b[i])) return false;
  return true;
}

loss_case arbitrary_loss(const sample& s, bool of_softmax = true) {
  std::vector<loss_case> cases = all_cases(s.rows, s.classes);
  if (of_softmax)  // logit_mse sees the logits themselves
    std::erase_if(cases, [](const loss_case& one) {
      for (const loss_term& term : one.terms)
        if (term.kind == loss_kind::logit_mse) return true;
      return false;
    });
  return cases[*rc::gen::inRange<std::size_t>(0, cases.size())];
}

}  // namespace

TEST_CASE("properties of every loss") {
  rc::prop("adding a constant to a row of logits changes nothing", [] {
    const sample s = arbitrary_sample();
    sample shifted = s;
    for (std::size_t i = 0; i < s.student.size(); ++i) {
      shifted.student[i] += static_cast<double>(i / s.classes) * 7 - 3;
      shifted.teacher[i] += 11 - static_cast<double>(i / s.classes);
    }
    const loss_case loss = arbitrary_loss(s);
    const result a = evaluate_on(loss, s), b = evaluate_on(loss, shifted);
    RC_ASSERT(near(a.value, b.value));
    RC_ASSERT(near(a.gradient, b.gradient));
  });

  rc::prop("reordering the classes reorders the gradient", [] {
    const sample s = arbitrary_sample();
    sample reversed = s;
    const auto mirrored = [&](std::size_t i) {
      return i / s.classes * s.classes + s.classes - 1 - i % s.classes;
    };
    for (std::size_t i = 0; i < s.student.size(); ++i) {
      reversed.student[i] = s.student[mirrored(i)];
      reversed.teacher[i] = s.teacher[mirrored(i)];
    }
    loss_case loss = arbitrary_loss(s, false);
    if (loss.is(loss_kind::adaptive_kl)) return;  // takes the first of equally probable classes
    const result a = evaluate_on(loss, s);
    std::vector<std::int64_t> labels(s.rows);
    for (loss_term& term : loss.terms) {
      if (!term.needs_labels()) continue;
      for (std::size_t row = 0; row < s.rows; ++row)
        labels[row] =
            term.labels[row] == -100 ? -100 : static_cast<std::int64_t>(s.classes) - 1 - term.labels[row];
      term.labels = labels;
    }
    result b = evaluate_on(loss, reversed);
    RC_ASSERT(near(a.value, b.value));
    for (std::size_t i = 0; i < a.gradient.size(); ++i)
      RC_ASSERT(near(a.gradient[i], b.gradient[mirrored(i)]));
  });

  rc::prop("the gradient of a row sums to 0", [] {
    const sample s = arbitrary_sample();
    const result r = evaluate_on(arbitrary_loss(s), s);
    double largest = 0;
    for (const double g : r.gradient) largest = std::max(largest, std::abs(g));
    for (std::size_t row = 0; row < s.rows; ++row) {
      const auto first = r.gradient.begin() + static_cast<std::ptrdiff_t>(row * s.classes);
      RC_ASSERT(std::abs(std::accumulate(first, first + static_cast<std::ptrdiff_t>(s.classes), 0.0)) <=
                1e-11 * std::max(1.0, largest));
    }
  });

  rc::prop("the loss at temperature T is T² that of logits / T at 1", [] {
    const sample s = arbitrary_sample();
    const double temperature = *rc::gen::inRange(1, 40) / 4.0;
    sample divided = s;
    for (double& x : divided.student) x /= temperature;
    for (double& x : divided.teacher) x /= temperature;
    const auto check = [&](auto loss) {
      const result plain = evaluate_on(loss, divided);
      loss.temperature = temperature;
      const result hot = evaluate_on(loss, s);
      RC_ASSERT(near(hot.value, temperature * temperature * plain.value));
      for (std::size_t i = 0; i < plain.gradient.size(); ++i)
        RC_ASSERT(near(hot.gradient[i], temperature * plain.gradient[i]));
      loss.temperature_squared = false;
      RC_ASSERT(near(evaluate_on(loss, s).value, plain.value));
    };
    check(forward_kl{});
    check(reverse_kl{});
    check(jensen_shannon{.beta = 0.3});
    check(skewed_forward_kl{});
    check(skewed_reverse_kl{});
    check(total_variation{});
    check(alpha_beta{});
    check(soft_cross_entropy{});
    check(divergence<pearson_chi2>{});
  });
}

TEST_CASE("properties that tie the losses together") {
  rc::prop("divergences are not negative, Jensen-Shannon is at most ln 2, total variation at most 1", [] {
    const sample s = arbitrary_sample();
    for (const auto& loss : {case_of(forward_kl{}), case_of(reverse_kl{}), case_of(alpha_beta{}),
                             case_of(skewed_forward_kl{}), case_of(skewed_reverse_kl{})})
      RC_ASSERT(evaluate_on(loss, s).value >= 0);
    const double jsd = jensen_shannon{}(s.z(), s.t()), tv = total_variation{}(s.z(), s.t());
    RC_ASSERT((jsd >= 0 && jsd <= std::log(2.0)));
    RC_ASSERT((tv >= 0 && tv <= 1));
  });

  rc::prop("Jensen-Shannon is symmetric at 1/2, and exchanges β otherwise", [] {
    const sample s = arbitrary_sample();
    RC_ASSERT(near(jensen_shannon{}(s.z(), s.t()), jensen_shannon{}(s.t(), s.z()), 1e-13));
    RC_ASSERT(
        near(jensen_shannon{.beta = 0.2}(s.z(), s.t()), jensen_shannon{.beta = 0.8}(s.t(), s.z()), 1e-12));
  });

  rc::prop("Jensen-Shannon / β tends to forward KL, / (1 - β) to reverse KL", [] {
    const sample s = arbitrary_sample();
    const double small = 1e-7, forward = forward_kl{}(s.z(), s.t()), reverse = reverse_kl{}(s.z(), s.t());
    RC_ASSERT(std::abs(jensen_shannon{.beta = small}(s.z(), s.t()) / small - forward) <=
              0.1 + 1e-2 * forward);
    RC_ASSERT(std::abs(jensen_shannon{.beta = 1 - small}(s.z(), s.t()) / small - reverse) <=
              0.1 + 1e-2 * reverse);
  });

  rc::prop("special parameters are the other losses", [] {
    const sample s = arbitrary_sample();
    const auto same = [&](const auto& a, const auto& b) {
      const result x = evaluate_on(a, s), y = evaluate_on(b, s);
      RC_ASSERT(near(x.value, y.value));
      RC_ASSERT(near(x.gradient, y.gradient));
    };
    same(skewed_forward_kl{.temperature = 2, .alpha = 0}, forward_kl{.temperature = 2});
    same(skewed_reverse_kl{.temperature = 2, .alpha = 0}, reverse_kl{.temperature = 2});
    same(alpha_beta{.temperature = 2, .alpha = 1, .beta = 0}, forward_kl{.temperature = 2});
    same(alpha_beta{.temperature = 2, .alpha = 0, .beta = 1}, reverse_kl{.temperature = 2});
    same(forward_kl{.temperature = 2}, forward_kl{.temperature = 2, .teacher_temperature = 2});
  });

  rc::prop("an objective is the sum of its parts", [] {
    const sample s = arbitrary_sample();
    const loss_case loss = long_objective_case(s.rows, s.classes);
    const result total = evaluate_on(loss, s);
    result sum{0, std::vector<double>(total.gradient.size())};
    for (const loss_term& term : loss.terms) {
      loss_case part = loss;
      part.terms = {term};
      const result one = evaluate_on(part, s);
      sum.value += one.value;
      for (std::size_t i = 0; i < sum.gradient.size(); ++i) sum.gradient[i] += one.gradient[i];
    }
    RC_ASSERT(near(total.value, sum.value));
    RC_ASSERT(near(total.gradient, sum.gradient));
  });
}

TEST_CASE("every parameter of a loss matters") {
  const sample s{2, 4, {0, 1, 2, 3, -1, 0, 4, 2}, {3, 1, 0, 0, 2, 2, -1, 0}};
  const auto differ = [&](const auto& a, const auto& b) {
    INFO(to_string(a) << " and " << to_string(b));
    CHECK(!near(evaluate_on(a, s).value, evaluate_on(b, s).value, 1e-6));
    CHECK(evaluate_on(a, s).gradient != evaluate_on(b, s).gradient);
  };
  const auto temperatures = [&](auto loss) {
    auto hot = loss, teacher = loss, unscaled = loss;
    hot.temperature = 2;
    teacher.teacher_temperature = 2;
    unscaled.temperature = 2;
    unscaled.temperature_squared = false;
    differ(loss, hot);
    differ(loss, teacher);
    differ(hot, teacher);
    differ(hot, unscaled);
  };
  temperatures(forward_kl{});
  temperatures(reverse_kl{});
  temperatures(jensen_shannon{});
  temperatures(skewed_forward_kl{});
  temperatures(skewed_reverse_kl{});
  temperatures(total_variation{});
  temperatures(alpha_beta{});
  temperatures(soft_cross_entropy{});
  temperatures(divergence<pearson_chi2>{});
  differ(jensen_shannon{}, jensen_shannon{.beta = 0.4});
  differ(skewed_forward_kl{}, skewed_forward_kl{.alpha = 0.2});
  differ(skewed_reverse_kl{}, skewed_reverse_kl{.alpha = 0.2});
  differ(alpha_beta{}, alpha_beta{.alpha = 0.6});
  differ(alpha_beta{}, alpha_beta{.beta = 0.6});
  const std::vector<std::int32_t> labels = {1, 3}, others = {1, 2};
  differ(cross_entropy{.labels = labels}, cross_entropy{.labels = others});
  differ(cross_entropy{.labels = labels}, cross_entropy{.labels = labels, .temperature = 2});
  differ(cross_entropy{.labels = labels}, cross_entropy{.labels = labels, .label_smoothing = 0.1});
  differ(cross_entropy{.labels = labels}, cross_entropy{.labels = labels, .ignore_index = 3});
}
