#pragma once

#include <distill/alignment/evaluate_attention.hpp>

namespace distill::inline DISTILL_ABI {

/// Divergence of self-relations: how the positions of a sample relate to each other in the queries, the keys,
/// the values or any other vectors X of a layer.
///
/// Row value, a row being a position of a relation head: Σ R_t log(R_t / R_s), R = softmax(X Xᵀ / sqrt(d_r)).
/// The vectors of all heads of X, side by side, are cut into `relation_heads` heads of d_r columns each, so
/// that student and teacher need neither the same number of heads nor the same width; 0 keeps the heads of X.
/// Gradient: dX = (dS + dSᵀ) X / sqrt(d_r), dS = (R_s - R_t) / denominator. The maps are formed tile by tile
/// and never held. Shapes: student, teacher and gradient [batch, heads, positions, width], or [batch,
/// positions, width] with one head, as queries_keys; options.product
/// multiplies. Options: `relation_heads` (a divisor of heads * width of both models); `heads`, which teacher
/// relation head a student relation head learns from; attention_options, whose masks and lengths of queries
/// and keys are both of positions. Throws, special values, accuracy, cost, memory: as attention_kl from
/// queries and keys. Source: value relation, Wang et al. 2020, arXiv 2002.10957, section 3.2; query, key and
/// value relations with relation heads, Wang et al. 2021, arXiv 2012.15828, section 3.
struct relation {
  std::size_t relation_heads = 0;
  head_map heads = {};

  /// The value; with a gradient also dLoss/dX of the student, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const attention_options& options = {}) const {
    const detail::output_tensor slope = detail::output_tensor_of(std::forward<Gradient>(gradient));
    return detail::evaluate_attention_products(
        detail::attention_loss_of<loss_kind::forward_kl>("relation", heads),
        projections(as_tensor(std::forward<Student>(student))),
        projections(as_tensor(std::forward<Teacher>(teacher))), {slope, slope}, options);
  }
  bool operator==(const relation&) const = default;

 private:
  template <class T>
  detail::projections projections(const tensor_view<T>& x) const {
    const std::size_t count = relation_heads == 0 ? x.extent(1) : relation_heads;
    const double width = static_cast<double>(x.extent(1) * x.extent(3)) / static_cast<double>(count);
    return {x, x, count, count, 1 / std::sqrt(width), "vectors", "vectors"};
  }
};

}  // namespace distill::inline DISTILL_ABI
