#pragma once

#include <distill/view/matrix_view.hpp>
#include <memory>
#include <type_traits>

namespace distill::inline DISTILL_ABI {

/// Who multiplies matrices: the alignments that need products of matrices take one from the caller, so that the library
/// depends on no linear algebra and the caller's own is used. `interop/eigen.hpp` has one that is ready.
///
/// `multiply(alpha, a, b, beta, c)` computes c = alpha a b + beta c, a [m, k], b [k, n], c [m, n], for float and for
/// double. A transposed operand is a view with exchanged strides; in each view one of the two strides is 1. With
/// beta = 0, c is written without being read. It must be callable from several threads at once, and give the same bits
/// for the same call.
template <class P>
concept matrix_product =
    requires(P& p, double factor, matrix_view<const float> a, matrix_view<float> c, matrix_view<const double> wide_a,
             matrix_view<double> wide_c) {
      p.multiply(factor, a, a, factor, c);
      p.multiply(factor, wide_a, wide_a, factor, wide_c);
    };

/// A reference to any matrix_product, which must outlive the call it is passed to.
class matrix_product_ref {
 public:
  template <class P>
    requires(!std::same_as<std::remove_cvref_t<P>, matrix_product_ref> && matrix_product<std::remove_reference_t<P>>)
  matrix_product_ref(P&& p)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(p)))),
        multiply_float_(&call<std::remove_reference_t<P>, float>),
        multiply_double_(&call<std::remove_reference_t<P>, double>) {}

  void multiply(double alpha, matrix_view<const float> a, matrix_view<const float> b, double beta,
                matrix_view<float> c) const {
    multiply_float_(object_, alpha, a, b, beta, c);
  }
  void multiply(double alpha, matrix_view<const double> a, matrix_view<const double> b, double beta,
                matrix_view<double> c) const {
    multiply_double_(object_, alpha, a, b, beta, c);
  }

 private:
  template <class T>
  using multiply_function = void(void*, double, matrix_view<const T>, matrix_view<const T>, double, matrix_view<T>);

  template <class P, class T>
  static void call(void* object, double alpha, matrix_view<const T> a, matrix_view<const T> b, double beta,
                   matrix_view<T> c) {
    static_cast<P*>(object)->multiply(alpha, a, b, beta, c);
  }

  void* object_;
  multiply_function<float>* multiply_float_;
  multiply_function<double>* multiply_double_;
};

}  // namespace distill::inline DISTILL_ABI
