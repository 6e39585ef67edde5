// Views as objects of Eigen and xtensor over the same memory.
#include <Eigen/Core>
#include <catch2/catch.hpp>
#include <distill/interop/eigen.hpp>
#include <distill/interop/xtensor.hpp>
#include <vector>
#include <xtensor/xmath.hpp>

using namespace distill;

namespace {

/// Every layout of a [3, 4] window of the memory.
template <class F>
void on_every_layout(F f) {
  std::vector<double> memory(100);
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<double>(i);
  f(matrix_view<double>(memory.data(), 3, 4));
  f(matrix_view<double>(memory.data(), 3, 4, 1, 3));
  f(matrix_view<double>(memory.data() + 5, 3, 4, 20, 2));
  f(matrix_view<double>(memory.data() + 5, 1, 4, 4, 1));
  f(matrix_view<double>(memory.data() + 5, 3, 1, 7, 1));
}

}  // namespace

TEST_CASE("a view and its Eigen map are the same memory") {
  on_every_layout([](matrix_view<double> view) {
    auto map = eigen_map(view);
    REQUIRE(static_cast<std::size_t>(map.rows()) == view.rows());
    REQUIRE(static_cast<std::size_t>(map.cols()) == view.columns());
    for (std::size_t i = 0; i < view.rows(); ++i)
      for (std::size_t j = 0; j < view.columns(); ++j)
        CHECK(&map(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j)) == &view(i, j));
    const double before = view(0, 0);
    map *= 2;
    CHECK(view(0, 0) == 2 * before);
    CHECK(eigen_map(matrix_view<const double>(view)).sum() == map.sum());
  });
  double values[4] = {};
  CHECK_THROWS_WITH(eigen_map(matrix_view<double>(values + 3, 2, 2, -2, 1)),
                    "eigen_map: a stride is negative");
}

TEST_CASE("a view and its xtensor map are the same memory") {
  on_every_layout([](matrix_view<double> view) {
    auto map = xtensor_map(view);
    REQUIRE(map.shape()[0] == view.rows());
    REQUIRE(map.shape()[1] == view.columns());
    double sum = 0;
    for (std::size_t i = 0; i < view.rows(); ++i)
      for (std::size_t j = 0; j < view.columns(); ++j) {
        CHECK(&map(i, j) == &view(i, j));
        sum += view(i, j);
      }
    CHECK(xt::sum(map)() == sum);
    map *= 2;
    CHECK(xt::sum(xtensor_map(matrix_view<const double>(view)))() == 2 * sum);
  });
  double values[4] = {};
  CHECK_THROWS_WITH(xtensor_map(matrix_view<double>(values + 3, 2, 2, -2, 1)),
                    "xtensor_map: a stride is negative");
}
