#pragma once

#include <Eigen/Core>
#include <distill/alignment/matrix_product.hpp>
#include <distill/error/error.hpp>

namespace distill::inline DISTILL_ABI {

/// Products of matrices by Eigen, on the calling thread unless Eigen was told to use more: a matrix_product for the
/// alignments that need one. Eigen packs its operands in memory of its own, on the stack where they are small.
struct eigen_product {
  template <class T>
  void multiply(double alpha, matrix_view<const T> a, matrix_view<const T> b, double beta, matrix_view<T> c) const {
    with_map(a, [&](const auto& left) {
      with_map(b, [&](const auto& right) {
        with_map(c, [&](auto result) {
          if (beta == 0)
            result.noalias() = static_cast<T>(alpha) * left * right;
          else {
            if (beta != 1) result *= static_cast<T>(beta);
            result.noalias() += static_cast<T>(alpha) * left * right;
          }
        });
      });
    });
  }
  void multiply(double alpha, matrix_view<const float> a, matrix_view<const float> b, double beta,
                matrix_view<float> c) const {
    multiply<float>(alpha, a, b, beta, c);
  }
  void multiply(double alpha, matrix_view<const double> a, matrix_view<const double> b, double beta,
                matrix_view<double> c) const {
    multiply<double>(alpha, a, b, beta, c);
  }

 private:
  // Calls f with the view as an Eigen map in the storage order that its unit stride names.
  template <class T, class F>
  static void with_map(matrix_view<T> m, F f) {
    using scalar = std::remove_const_t<T>;
    const auto map = [&]<int order>(std::ptrdiff_t pitch) {
      using matrix = Eigen::Matrix<scalar, Eigen::Dynamic, Eigen::Dynamic, order>;
      using object = std::conditional_t<std::is_const_v<T>, const matrix, matrix>;
      f(Eigen::Map<object, 0, Eigen::OuterStride<>>(m.data_handle(), static_cast<Eigen::Index>(m.rows()),
                                                    static_cast<Eigen::Index>(m.columns()),
                                                    Eigen::OuterStride<>(pitch)));
    };
    if (m.stride(1) == 1)
      map.template operator()<Eigen::RowMajor>(m.stride(0));
    else
      map.template operator()<Eigen::ColMajor>(m.stride(1));
  }
};

/// A view as an Eigen object over the same memory, whatever its strides: to read or write what the library wrote.
/// Elements float or double; of 16 bits have no arithmetic in Eigen. Eigen 3.4 holds no negative strides.
/// @throws layout_error for a negative stride
template <class T>
auto eigen_map(const matrix_view<T>& view) {
  using scalar = std::remove_const_t<T>;
  static_assert(std::is_floating_point_v<scalar>, "distill: eigen_map is for matrices of float or double");
  if (view.stride(0) < 0 || view.stride(1) < 0) throw layout_error("eigen_map: a stride is negative");
  using matrix = Eigen::Matrix<scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using strides = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
  return Eigen::Map<std::conditional_t<std::is_const_v<T>, const matrix, matrix>, Eigen::Unaligned, strides>(
      view.data_handle(), static_cast<Eigen::Index>(view.rows()), static_cast<Eigen::Index>(view.columns()),
      strides(view.stride(0), view.stride(1)));
}

}  // namespace distill::inline DISTILL_ABI
