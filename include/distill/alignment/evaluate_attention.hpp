#pragma once

#include <cmath>
#include <distill/alignment/attention_options.hpp>
#include <distill/alignment/head_map.hpp>
#include <distill/alignment/queries_keys.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/view/untyped_tensor.hpp>
#include <distill/view/written_to.hpp>

namespace distill::inline DISTILL_ABI::detail {

/// Which loss on rows of scores.
struct attention_loss {
  loss_term of_row;
  const head_map* heads;

  const char* name() const { return of_row.name; }
};
template <loss_kind kind>
attention_loss attention_loss_of(const char* name, const head_map& heads) {
  return {term_of<kind>({.name = name, .temperature_squared = false}), &heads};
}

/// Rows of scores as products: head h of `heads` is columns [h, h + 1) * width / heads of all heads of the
/// tensor side by side.
struct projections {
  input_tensor queries, keys;
  std::size_t query_heads = 0, key_heads = 0;
  double scale = 1;
  const char *query_name = "queries", *key_name = "keys";
};
struct projection_gradients {
  output_tensor queries, keys;
};

/// The functions behind the attention losses: of maps, and of what maps are made of.
double evaluate_attention_maps(const attention_loss& loss, const input_tensor& student,
                               const input_tensor& teacher, const output_tensor& gradient,
                               const attention_options& options);
double evaluate_attention_products(const attention_loss& loss, const projections& student,
                                   const projections& teacher, const projection_gradients& gradient,
                                   const attention_options& options);

template <class X>
output_tensor output_tensor_of(X&& x) {
  if constexpr (std::is_same_v<std::remove_cvref_t<X>, no_gradient_t>)
    return {};
  else
    return as_written<output_tensor>(as_tensor(std::forward<X>(x)));
}

template <class T>
projections projections_of(const queries_keys<T>& x) {
  return {x.queries, x.keys, x.queries.extent(1), x.keys.extent(1),
          x.scale.value_or(1 / std::sqrt(static_cast<double>(x.queries.extent(3))))};
}

/// One place for the two ways of calling an attention loss.
template <class Student, class Teacher, class Gradient>
double evaluate_attention(const attention_loss& loss, Student&& student, Teacher&& teacher,
                          Gradient&& gradient, const attention_options& options) {
  if constexpr (requires {
                  student.queries;
                  teacher.keys;
                }) {
    projection_gradients gradients;
    if constexpr (requires { gradient.queries; })
      gradients = {output_tensor_of(gradient.queries), output_tensor_of(gradient.keys)};
    else
      static_assert(std::is_same_v<std::remove_cvref_t<Gradient>, no_gradient_t>,
                    "distill: the gradient of queries_keys is queries_keys");
    return evaluate_attention_products(loss, projections_of(student), projections_of(teacher), gradients,
                                       options);
  } else {
    return evaluate_attention_maps(loss, input_tensor(as_tensor(std::forward<Student>(student))),
                                   input_tensor(as_tensor(std::forward<Teacher>(teacher))),
                                   output_tensor_of(std::forward<Gradient>(gradient)), options);
  }
}

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/alignment/evaluate_attention-inl.hpp>
#endif
