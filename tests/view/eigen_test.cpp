#include <Eigen/Core>
#include <catch2/catch.hpp>
#include <cstdint>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/matrix_like.hpp>
#include <distill/view/matrix_view.hpp>
#include <type_traits>
#include <vector>

using namespace distill;

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class M>
M numbered(Eigen::Index rows, Eigen::Index columns) {
  M m(rows, columns);
  for (Eigen::Index i = 0; i < rows; ++i)
    for (Eigen::Index j = 0; j < columns; ++j) m(i, j) = static_cast<typename M::Scalar>(10 * i + j);
  return m;
}

template <class M>
void agrees_with_eigen(M& m) {
  const auto view = as_view(m);
  REQUIRE(view.rows() == static_cast<std::size_t>(m.rows()));
  REQUIRE(view.columns() == static_cast<std::size_t>(m.cols()));
  for (Eigen::Index i = 0; i < m.rows(); ++i)
    for (Eigen::Index j = 0; j < m.cols(); ++j)
      CHECK(&view(static_cast<std::size_t>(i), static_cast<std::size_t>(j)) == &m.coeffRef(i, j));
}

}  // namespace

TEST_CASE("as_view of Eigen matrices and arrays in both orders") {
  auto columns = numbered<Eigen::MatrixXf>(3, 4);
  auto rows = numbered<row_major>(3, 4);
  auto array = numbered<Eigen::ArrayXXd>(3, 4);
  auto fixed = numbered<Eigen::Matrix<double, 2, 5>>(2, 5);
  agrees_with_eigen(columns);
  agrees_with_eigen(rows);
  agrees_with_eigen(array);
  agrees_with_eigen(fixed);
  CHECK(as_view(columns).stride(0) == 1);
  CHECK(as_view(columns).stride(1) == 3);
  CHECK(as_view(rows).stride(0) == 4);
  CHECK(as_view(rows).stride(1) == 1);
}

TEST_CASE("as_view of Map, Ref and Block") {
  auto whole = numbered<Eigen::MatrixXf>(5, 6);
  Eigen::Map<row_major> map(whole.data(), 6, 5);
  agrees_with_eigen(map);
  Eigen::Map<row_major, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>> strided(
      whole.data(), 2, 3, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>(12, 2));
  agrees_with_eigen(strided);
  Eigen::Ref<Eigen::MatrixXf> ref(whole);
  agrees_with_eigen(ref);
  auto block = whole.block(1, 2, 3, 2);
  agrees_with_eigen(block);
  auto rows = whole.topRows(2);
  agrees_with_eigen(rows);
  CHECK(as_view(whole.block(1, 2, 3, 2))(0, 0) == whole(1, 2));
}

TEST_CASE("as_view of something const is a view of const elements") {
  const Eigen::MatrixXf m = numbered<Eigen::MatrixXf>(2, 2);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(m)), matrix_view<const float>>);
  Eigen::MatrixXf writable = m;
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(writable)), matrix_view<float>>);
  CHECK(as_view(m)(1, 1) == 11);
  STATIC_REQUIRE_FALSE(matrix_like<decltype(m + m)>);
  STATIC_REQUIRE_FALSE(matrix_like<Eigen::MatrixXi>);
}

TEST_CASE("a loss on Eigen matrices of mixed order, with Eigen weights and labels") {
  const Eigen::MatrixXf student = Eigen::MatrixXf::Random(7, 9);
  const row_major teacher = row_major::Random(7, 9);
  Eigen::MatrixXf gradient(7, 9);
  row_major row_student = student, row_gradient(7, 9);
  const Eigen::VectorXf weights = Eigen::VectorXf::Constant(7, 0.5f);
  const forward_kl loss{.temperature = 2};
  const double value = loss(student, teacher, gradient, {.row_weights = weights});
  CHECK(value == Approx(loss(row_student, teacher, row_gradient, {.row_weights = weights})).epsilon(1e-6));
  CHECK(gradient.isApprox(row_gradient, 1e-5f));
  CHECK(value == Approx(0.5 * loss(student, teacher)).epsilon(1e-6));
  Eigen::Matrix<std::int32_t, Eigen::Dynamic, 1> labels =
      Eigen::Matrix<std::int32_t, Eigen::Dynamic, 1>::Zero(7);
  labels(3) = 8;
  const std::vector<std::int32_t> same(labels.data(), labels.data() + 7);
  CHECK(cross_entropy{.labels = labels}(student) == cross_entropy{.labels = same}(student));
}
