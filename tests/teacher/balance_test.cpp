// Coefficients between loss terms, and the length of a gradient.
#include <distill/teacher/balance.hpp>
#include <distill/teacher/gradient_norm.hpp>

#include "support/block_executor.hpp"
#include "teacher/teacher_cases.hpp"

namespace balance_test {

using namespace distill;
using namespace teacher_cases;
using support::guarded_matrix;
using support::layout;

namespace {

std::vector<double> coefficients_of(const gradient_balance& balance, const gradient_balance_state& state,
                                    std::size_t terms) {
  std::vector<double> result(terms, 7);
  balance.coefficients(state, result);
  return result;
}

template <class T>
void check_norm(std::size_t rows, std::size_t columns, layout how, double scale, long double relative) {
  const guarded_matrix<T> m(rows, normal_logits(rows * columns, columns, scale), how, 1);
  long double square = 0;
  for (std::size_t row = 0; row < rows; ++row)
    for (long double x : row_of(m, row)) square += x * x;
  INFO(rows << " x " << columns << ", " << name_of(how) << ", scale " << scale);
  CHECK(near(gradient_norm(m.view()), std::sqrt(square), relative));
}

}  // namespace

TEST_CASE("a term takes its share of the reference's value") {
  CHECK(value_balance{}(2, 8) == 0.25);
  CHECK(value_balance{.share = 0.5}(2, 8) == 0.125);
  CHECK(value_balance{}(8, 2) * 2 == 8);
  CHECK(value_balance{}(0, 2) == 0);
  CHECK(value_balance{}(2, 0) == 1000);
  CHECK(value_balance{.most = 3}(2, 0.1) == 3);
  CHECK(value_balance{.share = 0.5}(0, 0) == 0.5);
  CHECK(value_balance{.share = 5, .most = 3}(0, 0) == 3);
  CHECK(value_balance{}(1e308, 1e-308) == 1000);
}

TEST_CASE("value_balance refuses") {
  CHECK_THROWS_WITH(value_balance{}(-1, 1), "value_balance: reference must be finite and >= 0, got -1");
  CHECK_THROWS_WITH(value_balance{}(1, NAN), "value_balance: term must be finite and >= 0, got nan");
  CHECK_THROWS_WITH(value_balance{.share = 0}(1, 1), "value_balance: share must be finite and > 0, got 0");
  CHECK_THROWS_WITH(value_balance{.most = -1}(1, 1), "value_balance: most must be finite and > 0, got -1");
  CHECK_THROWS_AS(value_balance{}(-1, 1), parameter_error);
}

TEST_CASE("the gradients of all terms get the same length, and their sum stays") {
  const gradient_balance balance{.momentum = 0};
  const std::vector<double> norms = {4, 1, 0.5};
  const auto c = coefficients_of(balance, balance.advance({}, norms), 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(c[i] * norms[i] == Approx(5.5 / 3));
}

TEST_CASE("the moving average starts unbiased and forgets at the rate of the momentum") {
  const gradient_balance balance{.momentum = 0.75};
  const std::vector<double> first = {4, 1}, second = {1, 1};
  gradient_balance_state state = balance.advance({}, first);
  CHECK(coefficients_of(balance, state, 2) ==
        coefficients_of({.momentum = 0}, gradient_balance{.momentum = 0}.advance({}, first), 2));
  state = balance.advance(state, second);
  const double a = 0.75 * 0.25 * 4 + 0.25, b = 0.75 * 0.25 + 0.25;
  const auto c = coefficients_of(balance, state, 2);
  CHECK(c[0] == Approx((a + b) / 2 / a));
  CHECK(c[1] == Approx((a + b) / 2 / b));
  for (int i = 0; i < 200; ++i) state = balance.advance(state, second);
  CHECK(coefficients_of(balance, state, 2)[0] == Approx(1));
}

TEST_CASE("a term that has fallen less gets more with alpha") {
  const std::vector<double> norms = {2, 2}, start = {10, 4}, later = {5, 4};
  for (const double alpha : {0.0, 1.0, 2.0}) {
    const gradient_balance balance{.momentum = 0, .alpha = alpha};
    gradient_balance_state state = balance.advance({}, norms, start);
    CHECK(coefficients_of(balance, state, 2) == std::vector<double>{1, 1});
    state = balance.advance(state, norms, later);
    const auto c = coefficients_of(balance, state, 2);
    CHECK(c[0] == Approx(std::pow(0.5 / 0.75, alpha)));
    CHECK(c[1] == Approx(std::pow(1 / 0.75, alpha)));
  }
}

TEST_CASE("gradient_balance: special values") {
  const gradient_balance balance{.momentum = 0.5, .most = 8};
  const std::vector<double> norms = {1, 2}, infinite = {1, infinity}, none = {0, 0}, half = {0, 2},
                            zero = {0, 3};
  CHECK(coefficients_of(balance, {}, 3) == std::vector<double>{1, 1, 1});
  CHECK(coefficients_of(balance, balance.advance({}, none), 2) == std::vector<double>{1, 1});
  CHECK(coefficients_of(balance, balance.advance({}, half), 2) == std::vector<double>{8, 0.5});
  const gradient_balance_state state = balance.advance({}, norms);
  CHECK(balance.advance(state, infinite) == state);
  CHECK(balance.advance(state, norms, infinite) == state);
  const gradient_balance with_losses{.alpha = 1};
  CHECK(with_losses.advance({}, norms, zero) == gradient_balance_state{});
}

TEST_CASE("gradient_balance refuses") {
  const std::vector<double> two = {1, 2}, three = {1, 2, 3}, negative = {1, -2}, nine(9, 1);
  const gradient_balance balance;
  const gradient_balance_state state = balance.advance({}, two);
  CHECK_THROWS_WITH(balance.advance({}, {}), "gradient_balance: norms has 0 entries");
  CHECK_THROWS_WITH(balance.advance({}, nine),
                    "gradient_balance: norms has 9 entries, at most 8 are possible");
  CHECK_THROWS_WITH(balance.advance(state, three), "gradient_balance: norms has 3 entries, the state has 2");
  CHECK_THROWS_WITH(balance.advance(state, negative), "gradient_balance: norms[1] must be >= 0, got -2");
  CHECK_THROWS_WITH(balance.advance(state, two, negative),
                    "gradient_balance: losses[1] must be >= 0, got -2");
  CHECK_THROWS_WITH(balance.advance(state, two, three),
                    "gradient_balance: losses has 3 entries, norms has 2");
  CHECK_THROWS_WITH((gradient_balance{.alpha = 1}.advance(state, two)),
                    "gradient_balance: alpha other than 0 needs losses");
  CHECK_THROWS_WITH((gradient_balance{.momentum = 1}.advance(state, two)),
                    "gradient_balance: momentum must be in [0, 1), got 1");
  CHECK_THROWS_WITH((gradient_balance{.alpha = -1}.advance(state, two, two)),
                    "gradient_balance: alpha must be finite and >= 0, got -1");
  CHECK_THROWS_WITH((gradient_balance{.most = 0}.advance(state, two)),
                    "gradient_balance: most must be finite and > 0, got 0");
  std::vector<double> written(3, 7);
  CHECK_THROWS_WITH(balance.coefficients(state, written),
                    "gradient_balance: written has 3 entries, the state has 2");
  CHECK(written == std::vector<double>(3, 7));
  CHECK_THROWS_AS(balance.advance({}, {}), shape_error);
}

TEST_CASE("a balance's state lists all it remembers, and one that cannot be is refused") {
  gradient_balance_state filled;
  std::size_t doubles = 0;
  std::apply(
      [&](const auto&... p) {
        const auto fill = [&](auto& member) {
          if constexpr (std::is_arithmetic_v<std::remove_reference_t<decltype(member)>>)
            member = 2;
          else
            for (double& entry : member) entry = static_cast<double>(++doubles);
        };
        (fill(filled.*p.member), ...);
      },
      gradient_balance_state::parameters());
  CHECK(filled.terms == 2);
  CHECK(doubles * sizeof(double) + sizeof(filled.terms) == sizeof(filled));

  const gradient_balance balance;
  const std::vector<double> two = {1, 2};
  std::vector<double> written(2, 7);
  const auto check_refused = [&](const gradient_balance_state& state, const std::string& message) {
    CHECK_THROWS_WITH(balance.advance(state, two), message);
    CHECK_THROWS_WITH(balance.coefficients(state, written), message);
  };
  check_refused({.terms = 9}, "gradient_balance: state.terms must be <= 8, got 9");
  check_refused({.terms = 2, .norms = {1, -3}},
                "gradient_balance: state.norms[1] must be >= 0 and finite, got -3");
  check_refused({.terms = 2, .first_losses = {infinity, 0}},
                "gradient_balance: state.first_losses[0] must be >= 0 and finite, got inf");
  check_refused({.terms = 2, .progress = {0, NAN}},
                "gradient_balance: state.progress[1] must be >= 0 and finite, got nan");
  CHECK(written == std::vector<double>(2, 7));

  // A loss that explodes leaves a state that can be gone on from.
  const gradient_balance with_losses{.alpha = 1};
  const std::vector<double> tiny = {1e-300, 1}, huge = {1e300, 1};
  const gradient_balance_state state = with_losses.advance(with_losses.advance({}, two, tiny), two, huge);
  CHECK(coefficients_of(with_losses, with_losses.advance(state, two, tiny), 2)[0] > 0);
}

TEST_CASE("the length of a gradient") {
  on_every_target([] {
    for (const std::size_t columns : sizes) {
      check_norm<float>(5, columns, layout::padded_rows, 1e-3, 5e-7L);
      check_norm<double>(5, columns, layout::column_major, 1, 1e-14L);
      check_norm<bfloat16>(5, columns, layout::compact, 1, 5e-7L);
    }
  });
  for (const double scale : {1e-30, 1e-15, 1e15, 1e30})
    check_norm<float>(3, 37, layout::compact, scale, 5e-7L);
  for (const double scale : {1e-200, 1e200}) check_norm<double>(3, 37, layout::compact, scale, 1e-14L);
  std::vector<float> zeros(12), nan(12, 1), infinite(12, 1);
  nan[5] = NAN;
  infinite[7] = INFINITY;
  CHECK(gradient_norm(matrix_view(zeros.data(), 3, 4)) == 0);
  CHECK(std::isnan(gradient_norm(matrix_view(nan.data(), 3, 4))));
  CHECK(!std::isfinite(gradient_norm(matrix_view(infinite.data(), 3, 4))));
}

TEST_CASE("the length of a gradient has the same bits for any executor") {
  const guarded_matrix<bfloat16> m(53, normal_logits(53 * 20, 1), layout::column_major);
  const double serial = gradient_norm(m.view());
  for (const std::size_t workers : {1u, 3u, 7u}) {
    support::block_executor executor(workers, 5);
    workspace memory;
    CHECK(gradient_norm(m.view(), {.executor = executor, .workspace = &memory}) == serial);
    CHECK(executor.calls() == 1);
    CHECK(memory.size() > 0);
  }
}

}  // namespace balance_test
