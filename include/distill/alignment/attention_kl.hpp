#pragma once

#include <distill/alignment/evaluate_attention.hpp>

namespace distill::inline DISTILL_ABI {

/// Divergence of the student's attention from the teacher's: forward KL of the distributions over keys.
///
/// Row value, a row being a query of a head: Σ A_t log(A_t / A_s), A = softmax(scores) over the keys the
/// query sees. With the defaults the loss is Σ rows / (counted queries * heads), MiniLM's. From maps:
/// student, teacher and gradient are scores (logits) [batch, heads, queries, keys], any strides, element
/// types may differ; gradient: (A_s - A_t) / denominator. Logarithms of probabilities are scores too.
/// From queries and keys: all three are queries_keys, and options.product multiplies; the maps are formed
/// tile by tile and never held. With dS = (A_s - A_t) / denominator: dQ = scale dS K, dK = scale dSᵀ Q. Head
/// widths of student and teacher may differ; so may their element types, any of the four; gradients have the
/// student's type, or float for 16 bits, and are then rounded once. Options: `heads`, which
/// teacher heads a student head learns from; masks, lengths and reduction: attention_options. Throws:
/// shape_error, parameter_error, layout_error, data_error (lengths), before anything is written. Special
/// values: those of forward_kl in rows that count; equal scores give exactly 0. Cost: from maps that of
/// forward_kl; causal, and masks that leave gaps, one row at a time. From queries and keys two products for
/// the scores and two for the gradients. Memory: O(rows), and a tile of scores, at most 1 MiB of each model
/// up to 16384 keys per thread; for 16 bits also a head of queries and of keys in float, of each model
/// and of the gradient.
/// Accuracy: maps as forward_kl; from queries and keys in float 1e-5 against double
/// (attention_products_test). Aliasing: the gradient of a map may be exactly the student's map, if each
/// student head has one teacher head. Source: Wang et al. 2020, arXiv 2002.10957, section 3.1.
struct attention_kl {
  head_map heads = {};

  /// The value; with a gradient also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const attention_options& options = {}) const {
    return detail::evaluate_attention(detail::attention_loss_of<loss_kind::forward_kl>("attention_kl", heads),
                                      std::forward<Student>(student), std::forward<Teacher>(teacher),
                                      std::forward<Gradient>(gradient), options);
  }
  bool operator==(const attention_kl&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
