#include <catch2/catch.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/flatten_leading.hpp>
#include <distill/view/matrix_like.hpp>
#include <distill/view/matrix_view.hpp>
#include <type_traits>
#include <vector>
#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>

using namespace distill;

namespace {
template <class X>
void agrees_with_xtensor(X& x) {
  const auto view = as_view(x);
  REQUIRE(view.rows() == x.shape()[0]);
  REQUIRE(view.columns() == x.shape()[1]);
  for (std::size_t i = 0; i < view.rows(); ++i)
    for (std::size_t j = 0; j < view.columns(); ++j) CHECK(&view(i, j) == &x(i, j));
}
}  // namespace

TEST_CASE("as_view of xtensor containers in both layouts") {
  xt::xtensor<float, 2> rows({3, 4}, 1.0f);
  xt::xtensor<double, 2, xt::layout_type::column_major> columns({3, 4}, 1.0);
  xt::xarray<float> dynamic = xt::xarray<float>::from_shape({3, 4});
  agrees_with_xtensor(rows);
  agrees_with_xtensor(columns);
  agrees_with_xtensor(dynamic);
  const xt::xtensor<float, 2>& read_only = rows;
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(read_only)), matrix_view<const float>>);
}

TEST_CASE("as_view of xtensor's dimensions of extent 1, whose stride is 0") {
  xt::xtensor<float, 2> one_row({1, 4}, 1.0f), one_column({4, 1}, 1.0f);
  agrees_with_xtensor(one_row);
  agrees_with_xtensor(one_column);
  xt::xtensor<float, 2> teacher({1, 4}, 0.0f), gradient({1, 4}, 9.0f);
  one_row(0, 2) = 3;
  CHECK(forward_kl{}(one_row, teacher, gradient) > 0);
  CHECK(gradient(0, 2) > 0);
  xt::xtensor<float, 2> column_teacher({4, 1}, 2.0f), column_gradient({4, 1}, 9.0f);
  CHECK(forward_kl{}(one_column, column_teacher, column_gradient) == 0);
  CHECK(column_gradient(3, 0) == 0);
}

TEST_CASE("as_view of adapted memory and strided views") {
  std::vector<double> memory(24, 1.0);
  auto adapted = xt::adapt(memory, std::vector<std::size_t>{4, 6});
  agrees_with_xtensor(adapted);
  xt::xtensor<float, 2> whole({5, 6}, 1.0f);
  auto window = xt::view(whole, xt::range(1, 4), xt::range(2, 5));
  agrees_with_xtensor(window);
  xt::xtensor<float, 3> cube({2, 3, 4}, 1.0f);
  auto slice = xt::view(cube, 1, xt::all(), xt::all());
  agrees_with_xtensor(slice);
}

TEST_CASE("as_view refuses another rank") {
  xt::xarray<float> cube = xt::xarray<float>::from_shape({2, 3, 4});
  CHECK_THROWS_WITH(
      as_view(cube),
      "as_view: a matrix has 2 dimensions, this array has 3; see flatten_leading for [batch, sequence, "
      "vocabulary]");
  STATIC_REQUIRE_FALSE(matrix_like<decltype(cube + cube)>);
}

TEST_CASE("flatten_leading of xtensor arrays") {
  xt::xtensor<float, 3> cube({2, 3, 4}, 1.0f);
  cube(1, 1, 2) = 7;
  const auto rows = flatten_leading(cube);
  CHECK(rows.rows() == 6);
  CHECK(rows(4, 2) == 7);
  xt::xtensor<float, 3> one({1, 1, 4}, 1.0f);
  CHECK(flatten_leading(one).rows() == 1);
  xt::xtensor<float, 3, xt::layout_type::column_major> columns({2, 3, 4}, 1.0f);
  CHECK_THROWS_AS(flatten_leading(columns), layout_error);
  xt::xarray<float> flat = xt::xarray<float>::from_shape({2, 3});
  CHECK_THROWS_AS(flatten_leading(flat), shape_error);
}
