#pragma once

#include <distill/alignment/evaluate_attention.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

double evaluate_attention_transfer(double power, const input_tensor& student, const input_tensor& teacher,
                                   const output_tensor& gradient, const row_options& rows);

}  // namespace detail

/// Attention transfer: where in an image student and teacher are active, whatever their channels.
///
/// Row value, a row being a sample: ‖â_s - â_t‖², a = Σ over channels |F|^power, â = a / ‖a‖ over the
/// positions. With reduction::mean the value is divided by samples * positions, as in the authors' code.
/// Gradient: dF = da power |F|^(power - 1) sign(F), da = (g - (g·â_s) â_s) / ‖a_s‖, g = 2 (â_s - â_t) weight
/// / denominator. Shapes: student and gradient [batch, channels, height, width], teacher with channels of its
/// own; or [batch, channels, positions]. Any strides; element types may differ. Options: `power` (finite, >=
/// 1); row_options, with a weight and a value for each sample; reduction::mean divides by the counted samples
/// times positions. Throws: shape_error, parameter_error, layout_error, before anything is written. Special
/// values: a sample of zeros has â = 0 and a zero gradient; NaN and infinities in a counted sample give NaN.
/// Cost: two passes over the student, one over the teacher; power 2 and 1 without a power function. Sums in
/// double. Memory: per thread two doubles per position and a row of the compute type, from the workspace.
/// Aliasing: the gradient may be exactly the student's elements.
/// Source: Zagoruyko, Komodakis 2017, arXiv 1612.03928, section 3.1.
struct attention_transfer {
  double power = 2;

  /// The value; with a gradient also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    detail::output_tensor slope;
    if constexpr (!std::is_same_v<std::remove_cvref_t<Gradient>, no_gradient_t>)
      slope = detail::output_tensor(as_tensor<2>(std::forward<Gradient>(gradient)));
    return detail::evaluate_attention_transfer(
        power, detail::input_tensor(as_tensor<2>(std::forward<Student>(student))),
        detail::input_tensor(as_tensor<2>(std::forward<Teacher>(teacher))), slope, rows);
  }
  bool operator==(const attention_transfer&) const = default;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/alignment/attention_transfer-inl.hpp>
#endif
