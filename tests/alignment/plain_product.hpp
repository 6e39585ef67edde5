#pragma once

#include <atomic>
#include <cstddef>
#include <distill/alignment/matrix_product.hpp>
#include <stdexcept>

namespace support {

/// Products by their definition, summed in double; refuses what the contract of matrix_product rules out.
/// Counts its calls, and keeps the largest c.
struct plain_product {
  mutable std::atomic<std::size_t> calls{0}, largest{0};

  template <class T>
  void multiply(double alpha, distill::matrix_view<const T> a, distill::matrix_view<const T> b, double beta,
                distill::matrix_view<T> c) const {
    ++calls;
    largest = std::max<std::size_t>(largest, c.rows() * c.columns());
    if (a.rows() != c.rows() || b.columns() != c.columns() || a.columns() != b.rows())
      throw std::logic_error("the extents of a product do not fit");
    for (const bool is_unit : {a.stride(0) == 1 || a.stride(1) == 1, b.stride(0) == 1 || b.stride(1) == 1,
                               c.stride(0) == 1 || c.stride(1) == 1})
      if (!is_unit) throw std::logic_error("a matrix of a product has no unit stride");
    for (std::size_t i = 0; i < c.rows(); ++i)
      for (std::size_t j = 0; j < c.columns(); ++j) {
        double sum = 0;
        for (std::size_t k = 0; k < a.columns(); ++k)
          sum += static_cast<double>(a(i, k)) * static_cast<double>(b(k, j));
        c(i, j) = static_cast<T>(alpha * sum + (beta == 0 ? 0 : beta * static_cast<double>(c(i, j))));
      }
  }
  void multiply(double alpha, distill::matrix_view<const float> a, distill::matrix_view<const float> b,
                double beta, distill::matrix_view<float> c) const {
    multiply<float>(alpha, a, b, beta, c);
  }
  void multiply(double alpha, distill::matrix_view<const double> a, distill::matrix_view<const double> b,
                double beta, distill::matrix_view<double> c) const {
    multiply<double>(alpha, a, b, beta, c);
  }
};

inline const plain_product product;

}  // namespace support
