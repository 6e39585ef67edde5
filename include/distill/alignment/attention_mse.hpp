#pragma once

#include <distill/alignment/evaluate_attention.hpp>

namespace distill::inline DISTILL_ABI {

/// Squared distance of attention maps, before or after the softmax: the numbers are compared as they are.
///
/// Row value, a row being a query of a head: Σ (student - teacher)² over the keys the query sees. With
/// reduction::mean the loss is the mean over the pairs that take part: TinyBERT's, except that masked pairs
/// do not dilute it. From maps: student, teacher and gradient [batch, heads, queries, keys], any strides,
/// element types may differ; gradient: 2 (student - teacher) / denominator. From queries and keys: all three
/// are queries_keys, options.product multiplies; compared are the scores scale * Q Kᵀ, before the softmax,
/// formed tile by tile. With dS = 2 (S_s - S_t) / denominator: dQ = scale dS K, dK = scale dSᵀ Q. Options:
/// `heads`, which teacher heads a student head learns from; masks, lengths and reduction: attention_options.
/// Throws: shape_error, parameter_error, layout_error, data_error (lengths), before anything is written.
/// Special values: those of IEEE arithmetic in pairs that take part.
/// Cost: one pass over the maps; from queries and keys two products for the scores and two for the gradients.
/// Memory and aliasing: as attention_kl. Accuracy: as logit_mse, from queries and keys 1e-5 against double.
/// Source: Jiao et al. 2020, arXiv 1909.10351, section 3.1.
struct attention_mse {
  head_map heads = {};

  /// The value; with a gradient also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const attention_options& options = {}) const {
    return detail::evaluate_attention(detail::attention_loss_of<loss_kind::logit_mse>("attention_mse", heads),
                                      std::forward<Student>(student), std::forward<Teacher>(teacher),
                                      std::forward<Gradient>(gradient), options);
  }
  bool operator==(const attention_mse&) const = default;
};

}  // namespace distill::inline DISTILL_ABI
