// Definitions of importance_loss.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <distill/moe/importance_loss.hpp>
#include <distill/moe/squared_variation-inl.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

template <class Weight>
void add_weights(const routing<Weight>& from, vector_view<double> sums) {
  const char* const name = "sum_weights";
  const matrix_view<const std::int32_t> ids = from.experts;
  require_memory(name, "experts", ids);
  require_matrix(name, "weights", matrix_view<const Weight>(from.weights), "tokens", ids.rows(), "slots",
                 ids.columns(), "experts");
  require_written_vector(name, "sums", sums, "experts", "sums", sums.size());
  require_indices(name, "experts", ids, sums.size());
  for (std::size_t token = 0; token < ids.rows(); ++token)
    for (std::size_t slot = 0; slot < ids.columns(); ++slot)
      if (const std::int32_t id = ids(token, slot); id != no_expert)
        sums[static_cast<std::size_t>(id)] += static_cast<double>(from.weights(token, slot));
}

template <class Weight>
void write_spread_slopes(matrix_view<const std::int32_t> ids, vector_view<const double> slopes,
                         matrix_view<Weight> gradient, bool accumulate) {
  const char* const name = "spread_slopes";
  require_memory(name, "experts", ids);
  require_matrix(name, "weight_gradient", gradient, "tokens", ids.rows(), "slots", ids.columns(), "experts");
  require_vector(name, "slopes", slopes, "experts", "slopes", slopes.size());
  require_indices(name, "experts", ids, slopes.size());
  for (std::size_t token = 0; token < ids.rows(); ++token)
    for (std::size_t slot = 0; slot < ids.columns(); ++slot) {
      const std::int32_t id = ids(token, slot);
      const double slope = id == no_expert ? 0 : slopes[static_cast<std::size_t>(id)];
      Weight& out = gradient(token, slot);
      out = static_cast<Weight>(accumulate ? static_cast<double>(out) + slope : slope);
    }
}

}  // namespace detail

DISTILL_INLINE double importance_loss::operator()(vector_view<const double> importance,
                                                  vector_view<double> slopes) const {
  return detail::squared_variation("importance_loss", "importance", {coefficient, epsilon, unbiased},
                                   importance, slopes);
}

DISTILL_INLINE void sum_weights(const routing<float>& from, vector_view<double> sums) {
  detail::add_weights(from, sums);
}
DISTILL_INLINE void sum_weights(const routing<double>& from, vector_view<double> sums) {
  detail::add_weights(from, sums);
}
DISTILL_INLINE void spread_slopes(matrix_view<const std::int32_t> experts, vector_view<const double> slopes,
                                  matrix_view<float> weight_gradient, bool accumulate) {
  detail::write_spread_slopes(experts, slopes, weight_gradient, accumulate);
}
DISTILL_INLINE void spread_slopes(matrix_view<const std::int32_t> experts, vector_view<const double> slopes,
                                  matrix_view<double> weight_gradient, bool accumulate) {
  detail::write_spread_slopes(experts, slopes, weight_gradient, accumulate);
}

}  // namespace distill::inline DISTILL_ABI
