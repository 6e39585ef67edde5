#pragma once

#include <distill/moe/balance_options.hpp>
#include <distill/numeric/softmax_job.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/untyped_matrix.hpp>

namespace distill::inline DISTILL_ABI {

/// What noisy top-k gating knows of a batch: clean logits, the same with noise added, and the noise's
/// deviation. Each is [tokens, experts], any strides and element types; the deviation may be one number,
/// finite and > 0.
class noisy_logits {
 public:
  template <class Clean, class Noisy, class Deviation>
  noisy_logits(Clean&& clean, Noisy&& noisy, Deviation&& deviation)
      : clean_(as_view(std::forward<Clean>(clean))), noisy_(as_view(std::forward<Noisy>(noisy))) {
    if constexpr (std::is_arithmetic_v<std::remove_cvref_t<Deviation>>)
      constant_ = static_cast<double>(deviation);
    else
      deviation_ = as_view(std::forward<Deviation>(deviation)), has_matrix_ = true;
  }

  const detail::input_matrix& clean() const { return clean_; }
  const detail::input_matrix& noisy() const { return noisy_; }
  const detail::input_matrix& deviation() const { return deviation_; }
  bool has_deviation_matrix() const { return has_matrix_; }
  double constant_deviation() const { return constant_; }

 private:
  detail::input_matrix clean_, noisy_, deviation_ = {};
  bool has_matrix_ = false;
  double constant_ = 1;
};

/// The smooth load of noisy top-k gating: how many tokens each expert expects, over a new draw of that
/// expert's own noise.
///
/// load_i = Σ_t Φ((clean_ti - threshold_ti) / σ_ti); the threshold is the k-th largest noisy logit of the
/// others, so the (k+1)-th of all where i is among the k largest (ties: the lower expert), else the k-th.
/// With k = E every load is T. Backward: slopes [experts] are dLoss/dload. The gradient is that of clean
/// logits and σ for fixed noise, noisy = clean + σ · draw; `through_threshold = false` holds the thresholds
/// constant instead. Options: `experts_per_token` k in [1, experts], must be given; of `token_options` the
/// mask and, backward, accumulate. Special values: a token with a logit or σ that is not finite, or σ <= 0,
/// is left out; its gradient is 0. Throws: shape_error, parameter_error, layout_error, before anything is
/// written. Cost: O(tokens · experts · k) in double, one erfc (backward: one exponential) each; allocates
/// O(experts). Source: Shazeer et al. 2017, arXiv 1701.06538, appendix A.
struct smooth_load {
  std::int64_t experts_per_token = 0;
  bool through_threshold = true;

  /// Adds to the loads [experts]; returns how many tokens were left out as not finite.
  std::int64_t operator()(const noisy_logits& logits, vector_view<double> loads,
                          const token_options& tokens = {}) const;
  /// Writes dLoss/dclean, of the clean logits' element type or float for 16 bits.
  template <class Gradient>
  void backward(const noisy_logits& logits, vector_view<const double> slopes, Gradient&& gradient,
                const token_options& tokens = {}) const {
    run_backward(logits, slopes, detail::written_to(std::forward<Gradient>(gradient)), {}, tokens);
  }
  /// Also dLoss/dσ, of the deviation matrix's element type or float for 16 bits.
  template <class Gradient, class DeviationGradient>
  void backward_with_deviation(const noisy_logits& logits, vector_view<const double> slopes,
                               Gradient&& gradient, DeviationGradient&& deviation_gradient,
                               const token_options& tokens = {}) const {
    run_backward(logits, slopes, detail::written_to(std::forward<Gradient>(gradient)),
                 detail::written_to(std::forward<DeviationGradient>(deviation_gradient)), tokens);
  }
  bool operator==(const smooth_load&) const = default;

 private:
  void run_backward(const noisy_logits& logits, vector_view<const double> slopes,
                    const detail::output_matrix& gradient, const detail::output_matrix& deviation_gradient,
                    const token_options& tokens) const;
};

/// The squared coefficient of variation of the smooth load; value, slopes and options as importance_loss,
/// with the loads in the place of the importance. Source: Shazeer et al. 2017, arXiv 1701.06538, appendix A.
struct load_loss {
  double coefficient = 0.1;
  double epsilon = 1e-10;
  bool unbiased = true;

  /// The value; with slopes [experts], dLoss/dload, these too.
  double operator()(vector_view<const double> loads, vector_view<double> slopes = {}) const;
  bool operator==(const load_loss&) const = default;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/load_loss-inl.hpp>
#endif
