#pragma once

#include <distill/loss/loss_term.hpp>
#include <distill/loss/row_options.hpp>
#include <distill/view/written_to.hpp>
#include <span>
#include <string>

namespace distill::inline DISTILL_ABI {

/// In the gradient's place: compute the value only.
struct no_gradient_t {};
inline constexpr no_gradient_t no_gradient{};

/// In the teacher's place, for losses that have none: cross_entropy.
struct no_teacher_t {};
inline constexpr no_teacher_t no_teacher{};

/// The value of a weighted sum of losses, and its gradient with respect to the student logits: the one
/// function behind every loss and objective. `name` begins the error messages. Arguments are checked before
/// anything is written. An input without data is an absent one.
double evaluate(const char* name, std::span<const loss_term> terms, const detail::input_matrix& student,
                const detail::input_matrix& teacher, const detail::output_matrix& gradient,
                const row_options& rows);

/// `forward_kl{.temperature = 4}`: the loss as it would be written.
std::string to_string(const loss_term& term);

namespace detail {

template <class X>
input_matrix input_of(X&& x) {
  if constexpr (std::is_same_v<std::remove_cvref_t<X>, no_teacher_t>)
    return {};
  else
    return input_matrix(as_view(std::forward<X>(x)));
}

template <class X>
output_matrix output_of(X&& x) {
  if constexpr (std::is_same_v<std::remove_cvref_t<X>, no_gradient_t>)
    return {};
  else
    return written_to(std::forward<X>(x));
}

template <class Student, class Teacher, class Gradient>
double evaluate_views(const char* name, std::span<const loss_term> terms, Student&& student,
                      Teacher&& teacher, Gradient&& gradient, const row_options& rows) {
  return evaluate(name, terms, input_of(std::forward<Student>(student)),
                  input_of(std::forward<Teacher>(teacher)), output_of(std::forward<Gradient>(gradient)),
                  rows);
}

template <class Student, class Teacher, class Gradient>
double evaluate_views(const loss_term& term, Student&& student, Teacher&& teacher, Gradient&& gradient,
                      const row_options& rows) {
  return evaluate_views(term.name, {&term, 1}, std::forward<Student>(student), std::forward<Teacher>(teacher),
                        std::forward<Gradient>(gradient), rows);
}

}  // namespace detail
}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/loss/evaluate-inl.hpp>
#endif
