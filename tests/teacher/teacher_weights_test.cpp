// The weights of teachers row by row against their definitions; options, masks, special values, errors.
#include <distill/teacher/mean_of_probabilities.hpp>
#include <distill/teacher/teacher_weights.hpp>

#include "support/block_executor.hpp"
#include "teacher/mixing_cases.hpp"

namespace teacher_weights_test {

using namespace distill;
using namespace mixing_cases;
using support::guarded_matrix;
using support::layout;

namespace {

constexpr std::size_t rows = 6, count = 3;

enum class policy { entropy, confidence, label, ca_mkd, agreement };
constexpr policy all_policies[] = {policy::entropy, policy::confidence, policy::label, policy::ca_mkd,
                                   policy::agreement};

template <class Weights>
void weigh(policy which, const teacher_list& teachers, Weights weights, label_view labels, double temperature,
           double sharpness, const teacher_weight_options& options = {}) {
  switch (which) {
    case policy::entropy:
      return weights_by_entropy{temperature, sharpness}(teachers, weights, options);
    case policy::confidence:
      return weights_by_confidence{temperature, sharpness}(teachers, weights, options);
    case policy::label:
      return weights_by_label{labels, temperature, sharpness}(teachers, weights, options);
    case policy::ca_mkd:
      return ca_mkd_weights{labels, temperature}(teachers, weights, options);
    case policy::agreement:
      return weights_by_agreement{temperature, sharpness}(teachers, weights, options);
  }
}

teacher_oracle::row expected(policy which, const std::vector<teacher_oracle::row>& z, std::size_t label,
                             double t, double sharpness) {
  teacher_oracle::row scores;
  const auto mean = teacher_oracle::mix(kind::probabilities, z, teacher_oracle::row(z.size(), 1), t);
  for (const teacher_oracle::row& teacher : z) {
    const auto l = teacher_oracle::log_softmax(teacher, t);
    if (which == policy::entropy) scores.push_back(-teacher_oracle::entropy(teacher, t));
    if (which == policy::confidence)
      scores.push_back(std::log(teacher_oracle::largest_probability(teacher, t)));
    if (which == policy::label) scores.push_back(l[label]);
    if (which == policy::ca_mkd) scores.push_back(-l[label]);
    if (which == policy::agreement) scores.push_back(-teacher_oracle::divergence(l, mean));
  }
  if (which != policy::ca_mkd) return teacher_oracle::share(scores, sharpness);
  teacher_oracle::row w = teacher_oracle::share(scores, 1);
  for (long double& x : w) x = (1 - x) / static_cast<long double>(z.size() - 1);
  return w;
}

std::vector<std::int32_t> labels_of(std::size_t classes) {
  std::vector<std::int32_t> labels(rows);
  for (std::size_t i = 0; i < rows; ++i) labels[i] = static_cast<std::int32_t>(i * 5 % classes);
  return labels;
}

template <class T>
void check(policy which, std::size_t classes, layout how, double temperature, double sharpness,
           long double absolute) {
  auto teachers = random_teachers<T>(count, rows, classes, how);
  for (std::size_t i = 0; i < count; ++i)  // not equally sure
    for (std::size_t k = 0; k < rows * classes; ++k) {
      T& z = teachers[i](k / classes, k % classes);
      z = support::from_double<T>(support::to_double(z) * (0.5 + static_cast<double>(i)));
    }
  const std::vector<std::int32_t> labels = labels_of(classes);
  guarded_matrix<double> weights(rows, count, layout::padded_rows);
  weigh(which, list_of(teachers), weights.view(), labels, temperature, sharpness);
  for (std::size_t row = 0; row < rows; ++row) {
    const auto w = expected(which, rows_of(teachers, row), static_cast<std::size_t>(labels[row]), temperature,
                            sharpness);
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
      INFO("policy " << static_cast<int>(which) << ", " << classes << " classes, row " << row << ", teacher "
                     << i);
      CHECK(near(weights.at(row, i), w[i], 0, absolute));
      sum += weights.at(row, i);
    }
    CHECK(sum == Approx(1).epsilon(1e-14));
  }
  CHECK(weights.is_intact());
}

}  // namespace

TEST_CASE("weights of teachers: every target, types and layouts") {
  on_every_target([] {
    for (const policy which : all_policies)
      for (const std::size_t classes : {1u, 2u, 10u, 33u}) {
        check<float>(which, classes, layout::padded_rows, 2, 0.7, 1e-5L);
        check<double>(which, classes, layout::compact, 1, 2, 1e-12L);
        check<bfloat16>(which, classes, layout::column_major, 1, 1, 1e-5L);
      }
  });
}

TEST_CASE("weights of teachers: every option matters") {
  const auto teachers = random_teachers<double>(count, rows, 20, layout::compact);
  const std::vector<std::int32_t> labels = labels_of(20), other = {1, 1, 1, 1, 1, 1};
  const auto of = [&](policy which, label_view y, double temperature, double sharpness) {
    std::vector<double> w(rows * count);
    weigh(which, list_of(teachers), matrix_view(w.data(), rows, count), y, temperature, sharpness);
    return w;
  };
  for (const policy which : all_policies) {
    INFO("policy " << static_cast<int>(which));
    const auto w = of(which, labels, 1, 1);
    CHECK(w != of(which, labels, 2, 1));
    CHECK((w != of(which, labels, 1, 2)) == (which != policy::ca_mkd));
    CHECK((w != of(which, other, 1, 1)) == (which == policy::label || which == policy::ca_mkd));
  }
}

TEST_CASE("weights of teachers: masked rows, ignored labels, no distribution") {
  for (const policy which : all_policies) {
    auto teachers = random_teachers<float>(count, rows, 20, layout::compact);
    std::vector<std::int32_t> labels = labels_of(20);
    std::vector<float> mask(rows, 1), w(rows * count, 7);
    mask[1] = 0;
    labels[1] = 99;
    labels[2] = -100;
    for (std::size_t c = 0; c < 20; ++c) teachers[0](1, c) = NAN;
    teachers[2](3, 5) = NAN;
    weigh(which, list_of(teachers), matrix_view(w.data(), rows, count), labels, 1, 1, {.row_weights = mask});
    INFO("policy " << static_cast<int>(which));
    for (std::size_t i = 0; i < count; ++i) {
      CHECK(w[count + i] == 0);
      CHECK(std::isnan(w[3 * count + i]));
      if (which == policy::label || which == policy::ca_mkd) CHECK(w[2 * count + i] == Approx(1.0 / count));
      CHECK(w[4 * count + i] > 0);
    }
    // Mixing refuses the row, naming it, unless it is masked.
    std::vector<float> mixed(rows * 20);
    const mixing_options options{.weights_of_rows = matrix_view<const float>(w.data(), rows, count),
                                 .row_weights = mask};
    CHECK_THROWS_WITH(
        mean_of_probabilities{}(list_of(teachers), matrix_view(mixed.data(), rows, 20), options),
        "mean_of_probabilities: weights_of_rows(3, 0) must be finite and >= 0, got nan");
    mask[3] = 0;
    mean_of_probabilities{}(list_of(teachers), matrix_view(mixed.data(), rows, 20), options);
    CHECK(std::isnan(mixed[20]));
    CHECK(!std::isnan(mixed[0]));
  }
}

TEST_CASE("weights of teachers: impossible labels and one teacher") {
  std::vector<float> a = {1, -INFINITY}, b = {1, 1};
  const std::vector<std::int32_t> label = {1};
  std::vector<double> w(2);
  const matrix_view weights(w.data(), 1, 2);
  const teacher_list both{matrix_view(a.data(), 1, 2), matrix_view(b.data(), 1, 2)},
      neither{matrix_view(a.data(), 1, 2), matrix_view(a.data(), 1, 2)};
  weights_by_label{.labels = label}(both, weights);
  CHECK(w == std::vector<double>{0, 1});
  ca_mkd_weights{.labels = label}(both, weights);
  CHECK(w == std::vector<double>{0, 1});
  weights_by_label{.labels = label}(neither, weights);
  CHECK(w == std::vector<double>{0.5, 0.5});
  ca_mkd_weights{.labels = label}(neither, weights);
  CHECK(w == std::vector<double>{0.5, 0.5});
  for (const policy which : all_policies) {
    w[0] = 7;
    weigh(which, {matrix_view(b.data(), 1, 2)}, matrix_view(w.data(), 1, 1), label, 1, 1);
    CHECK(w[0] == 1);
  }
}

TEST_CASE("weights of teachers: any executor gives the same bits") {
  const auto teachers = random_teachers<bfloat16>(count, 53, 20, layout::column_major);
  const std::vector<std::int32_t> labels(53, 3);
  for (const policy which : all_policies) {
    std::vector<float> serial(53 * count), cut(53 * count);
    weigh(which, list_of(teachers), matrix_view(serial.data(), 53, count), labels, 1, 1);
    support::block_executor executor(3, 5);
    workspace memory;
    weigh(which, list_of(teachers), matrix_view(cut.data(), 53, count), labels, 1, 1,
          {.executor = executor, .workspace = &memory});
    CHECK(cut == serial);
    CHECK(executor.calls() > 0);
    CHECK(memory.size() > 0);
  }
}

TEST_CASE("weights of teachers: errors, and nothing written") {
  std::vector<float> a(12, 1), b(12, 2), w(6, 7);
  const teacher_list teachers{matrix_view(a.data(), 3, 4), matrix_view(b.data(), 3, 4)};
  const matrix_view<float> out(w.data(), 3, 2);
  const std::vector<std::int32_t> labels = {0, 1, 4}, few = {0};
  const auto refused = [&](auto call, const std::string& message) {
    CHECK_THROWS_WITH(call(), message);
    CHECK(w == std::vector<float>(6, 7));
  };
  refused([&] { weights_by_entropy{}({}, out); }, "weights_by_entropy: has no teachers");
  refused([&] { weights_by_entropy{.temperature = 0}(teachers, out); },
          "weights_by_entropy: temperature must be finite and > 0, got 0");
  refused([&] { weights_by_confidence{.sharpness = -1}(teachers, out); },
          "weights_by_confidence: sharpness must be finite and > 0, got -1");
  refused([&] { weights_by_agreement{.sharpness = NAN}(teachers, out); },
          "weights_by_agreement: sharpness must be finite and > 0, got nan");
  refused([&] { weights_by_label{.labels = labels}(teachers, out); },
          "weights_by_label: labels[2] is 4, must be in [0, 4) or ignore_index -100");
  refused([&] { ca_mkd_weights{.labels = few}(teachers, out); },
          "ca_mkd_weights: labels has 1 entries, teachers[0] has 3 rows");
  refused([&] { weights_by_entropy{}(teachers, matrix_view(w.data(), 3, 1)); },
          "weights_by_entropy: weights has 1 columns, there are 2 teachers");
  refused([&] { weights_by_entropy{}(teachers, matrix_view(w.data(), 2, 2)); },
          "weights_by_entropy: weights has 2 rows, teachers[0] has 3");
  refused([&] { weights_by_agreement{}(teachers, matrix_view(a.data(), 3, 2)); },
          "weights_by_agreement: weights overlaps teachers[0]");
  refused([&] { weights_by_entropy{}(teachers, matrix_view<float>(nullptr, 3, 2)); },
          "weights_by_entropy: weights has no memory");
  const std::vector<float> mask = {1, NAN, 1};
  refused([&] { weights_by_entropy{}(teachers, out, {.row_weights = mask}); },
          "weights_by_entropy: row_weights[1] must be finite, got nan");
  CHECK_THROWS_AS(weights_by_label({.labels = labels})(teachers, out), data_error);
  CHECK_THROWS_AS(weights_by_entropy{.temperature = 0}(teachers, out), parameter_error);
}

}  // namespace teacher_weights_test
