#pragma once

#include <distill/loss/label_view.hpp>
#include <distill/moe/balance_options.hpp>
#include <distill/moe/routing.hpp>
#include <distill/numeric/softmax_job.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/untyped_matrix.hpp>

namespace distill::inline DISTILL_ABI {

/// Hash routing: the experts of a token are looked up in a table by its id in the vocabulary.
///
/// Weights: 1 / k each; or, from a router's logits, v = softmax over the token's k experts of its logits.
/// Backward: dz_j = v_j (g_j - Σ g v) at the token's experts, 0 elsewhere.
/// Shapes: `table` [vocabulary, k], ids [tokens] (std::int32_t, std::int64_t or std::uint8_t), routing
/// [tokens, k], logits and gradient [tokens, experts], any strides. Experts are written in the table's order.
/// Options: `table`; `experts`, at least k; of `token_options` the mask and, backward, accumulate.
/// Throws: shape_error, parameter_error, layout_error; data_error for a token id outside the vocabulary, or a
/// table row in use that names an expert outside [0, experts) or one twice; before anything is written.
/// Special values: a masked token gets experts -1 and weights 0; its id is not looked at. Where one of a
/// token's k logits is not finite its weights are 1 / k and its gradient is 0. Cost: O(tokens · k²), k
/// exponentials per token with logits; the dense gradient is written once. No allocation. Source: Roller et
/// al. 2021, arXiv 2106.04426, section 3.
struct hash_gate {
  matrix_view<const std::int32_t> table = {};
  std::int64_t experts = 0;

  void operator()(label_view token_ids, const routing<float>& out, const token_options& tokens = {}) const;
  void operator()(label_view token_ids, const routing<double>& out, const token_options& tokens = {}) const;
  /// With weights from the logits. The routing's weights are float, double for logits of double.
  template <class Logits, class Weight>
  void operator()(label_view token_ids, Logits&& logits, const routing<Weight>& out,
                  const token_options& tokens = {}) const {
    choose(token_ids, as_view(std::forward<Logits>(logits)), out.experts, detail::output_matrix(out.weights),
           tokens);
  }
  /// dLoss/dlogits from dLoss/dweights [tokens, k] of float or double and the experts this gate wrote;
  /// elements of the logits' type, or float for 16 bits; not the logits' own memory.
  template <class Logits, class WeightGradient, class Gradient>
  void backward(Logits&& logits, matrix_view<const std::int32_t> chosen, WeightGradient&& weight_gradient,
                Gradient&& logit_gradient, const token_options& tokens = {}) const {
    run_backward(as_view(std::forward<Logits>(logits)), chosen,
                 as_view(std::forward<WeightGradient>(weight_gradient)),
                 detail::written_to(std::forward<Gradient>(logit_gradient)), tokens);
  }

 private:
  void choose(const label_view& token_ids, const detail::input_matrix& logits,
              matrix_view<std::int32_t> experts_out, const detail::output_matrix& weights,
              const token_options& tokens) const;
  void run_backward(const detail::input_matrix& logits, matrix_view<const std::int32_t> chosen,
                    const detail::input_matrix& weight_gradient, const detail::output_matrix& gradient,
                    const token_options& tokens) const;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/hash_gate-inl.hpp>
#endif
