// Flow of the solution procedure, against its definition in long double and central differences of that.
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/alignment/fsp.hpp>
#include <limits>
#include <string>
#include <vector>

#include "alignment/plain_product.hpp"
#include "support/accuracy.hpp"
#include "support/block_executor.hpp"
#include "support/every_target.hpp"
#include "support/guarded_matrix.hpp"
#include "support/random_logits.hpp"

namespace fsp_tests {

using namespace distill;
using namespace support;

namespace {

using real = long double;
const plain_product product;

std::vector<double> normal_numbers(std::size_t count, std::uint64_t seed) {
  random_source random(seed);
  std::vector<double> result(count);
  for (double& x : result) x = random.normal();
  return result;
}

oracle::matrix gram_of(const oracle::matrix& a, const oracle::matrix& b, std::size_t sample,
                       std::size_t positions) {
  oracle::matrix g(a.classes, b.classes);
  for (std::size_t i = 0; i < a.classes; ++i)
    for (std::size_t j = 0; j < b.classes; ++j)
      for (std::size_t p = sample * positions; p < (sample + 1) * positions; ++p)
        g.at(i, j) += a.at(p, i) * b.at(p, j) / positions;
  return g;
}

struct problem {
  std::size_t samples, positions, teacher_positions;
  oracle::matrix s1, s2, t1, t2;

  real value() const {
    real sum = 0;
    for (std::size_t sample = 0; sample < samples; ++sample) {
      const oracle::matrix a = gram_of(s1, s2, sample, positions),
                           b = gram_of(t1, t2, sample, teacher_positions);
      for (std::size_t i = 0; i < a.values.size(); ++i)
        sum += (a.values[i] - b.values[i]) * (a.values[i] - b.values[i]) / (samples * a.values.size());
    }
    return sum;
  }
  oracle::matrix gradient_of(oracle::matrix& map) {
    oracle::matrix gradient(map.rows, map.classes);
    const real step = 1e-4L;
    for (std::size_t i = 0; i < map.values.size(); ++i) {
      const real kept = map.values[i];
      const auto at = [&](real offset) { return map.values[i] = kept + offset, value(); };
      gradient.values[i] = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
      map.values[i] = kept;
    }
    return gradient;
  }
};

// Maps of a student and its teacher, and room for the gradients.
template <class S1, class S2, class T1, class T2, class G1 = S1, class G2 = S2>
struct maps {
  std::size_t samples, positions, teacher_positions;
  guarded_matrix<S1> s1;
  guarded_matrix<S2> s2;
  guarded_matrix<T1> t1;
  guarded_matrix<T2> t2;
  guarded_matrix<G1> g1;
  guarded_matrix<G2> g2;

  maps(std::size_t n, std::size_t p, std::size_t tp, std::size_t c1, std::size_t c2,
       layout how = layout::compact)
      : samples(n),
        positions(p),
        teacher_positions(tp),
        s1(n * p, normal_numbers(n * p * c1, 1), how, 1),
        s2(n * p, normal_numbers(n * p * c2, 2), how),
        t1(n * tp, normal_numbers(n * tp * c1, 3), how),
        t2(n * tp, normal_numbers(n * tp * c2, 4), how),
        g1(n * p, c1, how, 1),
        g2(n * p, c2, how) {}

  fsp loss() const { return {.positions = positions, .teacher_positions = teacher_positions}; }
  double operator()(const relational_options& options) {
    return loss()(map_pair(s1.view(), s2.view()), map_pair(t1.view(), t2.view()),
                  map_pair(g1.view(), g2.view()), options);
  }
  double value(const relational_options& options) {
    return loss()(map_pair(s1.view(), s2.view()), map_pair(t1.view(), t2.view()), no_gradient, options);
  }
  void check(double allowed) {
    problem exact{samples, positions, teacher_positions, s1.exact(), s2.exact(), t1.exact(), t2.exact()};
    const double got = (*this)({.product = product});
    CHECK(relative(got, exact.value()) < allowed);
    CHECK(relative(g1.exact(), exact.gradient_of(exact.s1)) <
          allowed + rounding_of(element_traits<G1>::type));
    CHECK(relative(g2.exact(), exact.gradient_of(exact.s2)) <
          allowed + rounding_of(element_traits<G2>::type));
    CHECK(g1.is_intact());
    CHECK(g2.is_intact());
    CHECK(value({.product = product}) == Approx(got).epsilon(1e-6));
  }
};

}  // namespace

TEST_CASE("fsp on every target and size") {
  on_every_target([&] {
    for (const std::size_t channels : {1u, 3u, 8u, 17u}) {
      maps<float, float, float, float>(3, 4, 4, channels, 5).check(2e-5);
      maps<float, float, float, float>(1, 1, 9, 5, channels).check(2e-5);
      maps<double, double, double, double>(2, 4, 3, channels, 2).check(1e-11);
    }
  });
}

TEST_CASE("fsp of every layout and element type") {
  for (const layout how : {layout::compact, layout::padded_rows, layout::column_major, layout::padded_columns,
                           layout::every_third, layout::reversed_rows}) {
    INFO(name_of(how));
    maps<float, float, float, float>(3, 4, 6, 5, 7, how).check(2e-5);
    maps<bfloat16, float16, float, bfloat16>(3, 4, 6, 5, 7, how).check(2e-5);
    maps<float16, float, float16, float>(3, 4, 6, 5, 7, how).check(2e-5);
    maps<bfloat16, float16, float, float, float, float>(3, 4, 6, 5, 7, how).check(2e-5);
    maps<float, double, float, float>(3, 4, 6, 5, 7, how).check(1e-6);
    maps<double, double, float, float>(3, 4, 6, 5, 7, how).check(1e-11);
  }
}

TEST_CASE("the positions of fsp matter") {
  maps<double, double, double, double> m(2, 6, 6, 3, 4);
  const double six = m.value({.product = product});
  m.positions = m.teacher_positions = 3;
  m.samples = 4;
  CHECK(m.value({.product = product}) != Approx(six));
  m.check(1e-11);
  const fsp by_default{.positions = 3};
  CHECK(by_default(map_pair(m.s1.view(), m.s2.view()), map_pair(m.t1.view(), m.t2.view()), no_gradient,
                   {.product = product}) == m.value({.product = product}));
}

TEST_CASE("equal maps give exactly 0") {
  maps<float, float, float, float> m(3, 5, 5, 4, 6);
  guarded_matrix<float> g1(15, 4), g2(15, 6);
  CHECK(m.loss()(map_pair(m.s1.view(), m.s2.view()), map_pair(m.s1.view(), m.s2.view()),
                 map_pair(g1.view(), g2.view()), {.product = product}) == 0);
  for (std::size_t row = 0; row < 15; ++row) {
    for (std::size_t c = 0; c < 4; ++c) CHECK(g1.at(row, c) == 0);
    for (std::size_t c = 0; c < 6; ++c) CHECK(g2.at(row, c) == 0);
  }
}

TEST_CASE("samples that are masked are left out and never read") {
  for (const layout how : {layout::compact, layout::every_third}) {
    maps<float, float, float, float> m(3, 4, 4, 5, 7, how), two(2, 4, 4, 5, 7, how);
    const auto fill = [&](auto& from, auto& to) {
      for (std::size_t row = 0; row < 12; ++row)
        for (std::size_t c = 0; c < from.classes(); ++c) {
          if (row >= 4 && row < 8)
            from(row, c) = std::numeric_limits<float>::quiet_NaN();
          else
            to(row < 4 ? row : row - 4, c) = from(row, c);
        }
    };
    fill(m.s1, two.s1), fill(m.s2, two.s2), fill(m.t1, two.t1), fill(m.t2, two.t2);
    const std::vector<float> mask = {1, 0, 0.5f}, none(3, 0.0f);
    CHECK(m({.product = product, .row_mask = mask}) == two({.product = product}));
    for (std::size_t row = 0; row < 12; ++row)
      for (std::size_t c = 0; c < 5; ++c)
        CHECK(m.g1.at(row, c) == (row >= 4 && row < 8 ? 0 : two.g1.at(row < 4 ? row : row - 4, c)));
    CHECK(std::isnan(m({.product = product})));
    CHECK(std::isnan(m.g1.at(5, 0)));
    CHECK(std::isfinite(m.g1.at(1, 0)));
    CHECK(m({.product = product, .row_mask = none}) == 0);
    CHECK(m.g1.at(5, 3) == 0);
    CHECK(m.g2.at(1, 2) == 0);
    m.g1.fill(2);
    (void)m({.product = product, .row_mask = mask, .accumulate = true});
    CHECK(m.g1.at(5, 0) == 2);
  }
}

TEST_CASE("weight, accumulation and workspace of fsp") {
  for (const layout how : {layout::compact, layout::every_third}) {
    maps<float, float, float, float> once(3, 4, 4, 5, 7, how), added(3, 4, 4, 5, 7, how);
    workspace kept;
    const double value = once({.product = product});
    added.g1.fill(1);
    added.g2.fill(1);
    const relational_options thrice{.product = product, .weight = 3, .accumulate = true, .workspace = &kept};
    CHECK(added(thrice) == Approx(3 * value));
    for (std::size_t row = 0; row < 12; ++row) {
      for (std::size_t c = 0; c < 5; ++c)
        CHECK(added.g1.at(row, c) == Approx(1 + 3 * once.g1.at(row, c)).margin(1e-6));
      for (std::size_t c = 0; c < 7; ++c)
        CHECK(added.g2.at(row, c) == Approx(1 + 3 * once.g2.at(row, c)).margin(1e-6));
    }
    const std::size_t size = kept.size();
    CHECK(size > 0);
    (void)added(thrice);
    CHECK(kept.size() == size);
  }
}

TEST_CASE("any executor gives the same bits of fsp") {
  for (const layout how : {layout::compact, layout::every_third}) {
    maps<float, float, float, float> serial(40, 6, 6, 5, 7, how);
    const double value = serial({.product = product});
    for (const std::size_t workers : {1u, 4u})
      for (const std::size_t block : {1u, 5u}) {
        block_executor executor(workers, block);
        maps<float, float, float, float> m(40, 6, 6, 5, 7, how);
        CHECK(m({.product = product, .executor = executor}) == value);
        CHECK(m.g1.bits() == serial.g1.bits());
        CHECK(m.g2.bits() == serial.g2.bits());
        CHECK(executor.calls() == 1);
      }
  }
}

TEST_CASE("what fsp refuses, and that nothing is written then") {
  std::vector<float> x(48, 1), g(48, 7);
  const auto map = [&](std::size_t rows, std::size_t channels) {
    return matrix_view<const float>(x.data(), rows, channels);
  };
  const auto slopes = [&](std::size_t rows, std::size_t channels, std::size_t offset = 0) {
    return matrix_view<float>(g.data() + offset, rows, channels);
  };
  const map_pair good(map(6, 2), map(6, 3));
  const map_pair gradient_ok(slopes(6, 2), slopes(6, 3, 20));
  const relational_options plain{.product = product};
  const auto refuse = [&](const std::string& message, auto call) {
    CHECK_THROWS_WITH(call(), message);
    CHECK(g == std::vector<float>(48, 7));
  };
  const fsp loss{.positions = 3};
  refuse("fsp: positions must be > 0, got 0", [&] { fsp{}(good, good, gradient_ok, plain); });
  refuse("fsp: teacher_positions must be > 0, got 0",
         [&] { fsp{.positions = 3, .teacher_positions = 0}(good, good, gradient_ok, plain); });
  refuse("fsp: student.first has 6 rows, must be a multiple of positions 4",
         [&] { fsp{.positions = 4}(good, good, gradient_ok, plain); });
  refuse("fsp: student.first has 0 rows",
         [&] { loss(map_pair(map(0, 2), map(6, 3)), good, gradient_ok, plain); });
  refuse("fsp: student.second has 3 rows, its samples have 6 positions",
         [&] { loss(map_pair(map(6, 2), map(3, 3)), good, gradient_ok, plain); });
  refuse("fsp: student.second has 0 channels",
         [&] { loss(map_pair(map(6, 2), map(6, 0)), good, gradient_ok, plain); });
  refuse("fsp: teacher.first has 6 rows, its samples have 8 positions",
         [&] { fsp{.positions = 3, .teacher_positions = 4}(good, good, gradient_ok, plain); });
  refuse("fsp: teacher.second has 2 channels, the student's has 3",
         [&] { loss(good, map_pair(map(6, 2), map(6, 2)), gradient_ok, plain); });
  refuse("fsp: teacher.first has no memory", [&] {
    loss(good, map_pair(matrix_view<const float>(nullptr, 6, 2), map(6, 3)), gradient_ok, plain);
  });
  refuse("fsp: gradient.first has 5 rows, student.first has 6",
         [&] { loss(good, good, map_pair(slopes(5, 2), slopes(6, 3, 20)), plain); });
  refuse("fsp: gradient.second has 2 channels, student.second has 3",
         [&] { loss(good, good, map_pair(slopes(6, 2), slopes(6, 2, 20)), plain); });
  refuse("fsp: gradient.second has no memory",
         [&] { loss(good, good, map_pair(slopes(6, 2), matrix_view<float>(nullptr, 6, 3)), plain); });
  refuse("fsp: gradient.second overlaps gradient.first",
         [&] { loss(good, good, map_pair(slopes(6, 2), slopes(6, 3, 11)), plain); });
  refuse("fsp: gradient.first overlaps student.first", [&] {
    loss(map_pair(matrix_view<const float>(g.data(), 6, 2), map(6, 3)), good, gradient_ok, plain);
  });
  refuse("fsp: weight must be finite, got inf", [&] {
    loss(good, good, gradient_ok, {.product = product, .weight = std::numeric_limits<double>::infinity()});
  });
  refuse("fsp: row_mask has 3 entries, student has 2 samples", [&] {
    const std::vector<float> three(3, 1.0f);
    loss(good, good, gradient_ok, {.product = product, .row_mask = three});
  });
  std::vector<double> wide(18);
  refuse("fsp: gradient.second is float64, student.second is float32; it must be the same",
         [&] { loss(good, good, map_pair(slopes(6, 2), matrix_view<double>(wide.data(), 6, 3)), plain); });
}

}  // namespace fsp_tests
