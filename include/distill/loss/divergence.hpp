#pragma once

#include <concepts>
#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI {

/// What makes a user's divergence: `value(p, q)` = f(p, q) and `slope(p, q)` = df/dq, for float and for
/// double.
template <class F>
concept pointwise = std::is_trivially_copyable_v<F> && sizeof(F) <= sizeof(pointwise_function::functor) &&
                    requires(const F& f, float a, double b) {
  { f.value(a, a) } -> std::convertible_to<double>;
  { f.value(b, b) } -> std::convertible_to<double>;
  { f.slope(a, a) } -> std::convertible_to<float>;
  { f.slope(b, b) } -> std::convertible_to<double>;
};

namespace detail {

template <class F, class Real>
double evaluate_pointwise(const void* functor, const Real* p, const Real* q, Real* slope, std::size_t count) {
  F f;
  if constexpr (!std::is_empty_v<F>) std::memcpy(&f, functor, sizeof(F));
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += static_cast<double>(f.value(p[i], q[i]));
  if (slope != nullptr)
    for (std::size_t i = 0; i < count; ++i) slope[i] = static_cast<Real>(f.slope(p[i], q[i]));
  return sum;
}

template <class F, class Real>
void evaluate_teacher_slope(const void* functor, const Real* p, const Real* q, Real* slope,
                            std::size_t count) {
  F f;
  if constexpr (!std::is_empty_v<F>) std::memcpy(&f, functor, sizeof(F));
  for (std::size_t i = 0; i < count; ++i) slope[i] = static_cast<Real>(f.teacher_slope(p[i], q[i]));
}

template <class F>
concept has_teacher_slope = requires(const F& f, float a, double b) {
  { f.teacher_slope(a, a) } -> std::convertible_to<float>;
  { f.teacher_slope(b, b) } -> std::convertible_to<double>;
};

}  // namespace detail

/// Your own divergence Σ f(p, q): give f and df/dq, and masks, reductions, temperatures, executors and the
/// gradient with respect to the logits come with it.
///
/// Row value: T_s T_t Σ f(p, q), p = softmax(teacher / T_t), q = softmax(student / T_s).
/// Gradient: T_t q (u - Σ q u), u = df/dq, times weight / denominator.
/// `function`: trivially copyable, at most 32 bytes, default constructible; `value` and `slope` are templates
/// or overloads for float and double and must be safe to call from any thread. They see p and q rounded to
/// the compute type, so keeping the digits of nearly equal p and q is up to them. With `teacher_slope(p, q)`
/// = df/dp it has row_options::temperature_slopes too. Shapes, options, errors: as forward_kl. Cost: the
/// caller's functions, plus two exponentials per element. Memory: four rows per thread and O(rows), from the
/// workspace.
template <pointwise F>
struct divergence {
  F function = {};
  row_temperature temperature = 1;
  std::optional<row_temperature> teacher_temperature = std::nullopt;
  bool temperature_squared = true;

  /// The value; with a gradient buffer [rows, classes] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::evaluate_views(term(), std::forward<Student>(student), std::forward<Teacher>(teacher),
                                  std::forward<Gradient>(gradient), rows);
  }

  loss_term term() const {
    loss_term result = detail::term_of<loss_kind::user_divergence>(
        {.name = "divergence", .temperature_squared = temperature_squared});
    result.function.evaluate_float = &detail::evaluate_pointwise<F, float>;
    result.function.evaluate_double = &detail::evaluate_pointwise<F, double>;
    if constexpr (detail::has_teacher_slope<F>) {
      result.function.teacher_slope_float = &detail::evaluate_teacher_slope<F, float>;
      result.function.teacher_slope_double = &detail::evaluate_teacher_slope<F, double>;
    }
    if constexpr (!std::is_empty_v<F>) std::memcpy(result.function.functor, &function, sizeof(F));
    return result.with_temperatures(temperature, teacher_temperature);
  }
};

}  // namespace distill::inline DISTILL_ABI
