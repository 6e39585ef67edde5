// Products of matrices by their definition, in double: what the tests give to whoever asks the caller for
// products.
#pragma once

#include <cstddef>
#include <distill/alignment/matrix_product.hpp>
#include <stdexcept>

namespace support {

struct plain_product {
  template <class T>
  void multiply(double alpha, distill::matrix_view<const T> a, distill::matrix_view<const T> b, double beta,
                distill::matrix_view<T> c) const {
    require_unit_stride(a);
    require_unit_stride(b);
    require_unit_stride(c);
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

 private:
  template <class T>
  static void require_unit_stride(distill::matrix_view<T> m) {
    if (m.stride(0) != 1 && m.stride(1) != 1) throw std::logic_error("a matrix without a stride of 1");
  }
};

}  // namespace support
