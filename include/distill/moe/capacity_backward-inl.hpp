// The gradient of a capacity.
#pragma once

#include <distill/moe/capacity_check-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

template <class Weight>
void limit_backward(const capacity& limit, const routing<Weight>& routed, const routing<Weight>& kept,
                    const matrix_view<const Weight>& upstream, const matrix_view<Weight>& gradient) {
  constexpr const char* function = "capacity";
  check_capacity(limit, 1);
  check_routings(routed, kept);
  const std::size_t tokens = routed.tokens(), slots = routed.experts_per_token();
  require_assignments(function, "upstream", upstream, "routed.experts", tokens, slots);
  require_assignments(function, "gradient", gradient, "routed.experts", tokens, slots);
  require_distinct_elements(function, "gradient", gradient);
  require_same_or_apart("gradient", gradient, "upstream", upstream);
  require_apart(function, {{"gradient", bytes_of(gradient)}},
                {{"routed.experts", bytes_of(routed.experts)},
                 {"routed.weights", bytes_of(routed.weights)},
                 {"kept.experts", bytes_of(kept.experts)}});
  if (limit.weight_sum)
    require_apart(function, {{"kept.weights", bytes_of(kept.weights)}},
                  {{"routed.weights", bytes_of(routed.weights)}});
  for (std::size_t t = 0; t < tokens; ++t) {
    double sum = 0, dot = 0;
    for (std::size_t j = 0; j < slots && limit.weight_sum; ++j) {
      if (kept.experts(t, j) < 0) continue;
      sum += static_cast<double>(routed.weights(t, j));
      dot += static_cast<double>(upstream(t, j)) * static_cast<double>(routed.weights(t, j));
    }
    for (std::size_t j = 0; j < slots; ++j) {
      const double u = static_cast<double>(upstream(t, j));
      gradient(t, j) = kept.experts(t, j) < 0 ? Weight(0)
                       : sum != 0 ? static_cast<Weight>(*limit.weight_sum * ((u - dot / sum) / sum))
                                  : upstream(t, j);
    }
  }
}

DISTILL_INLINE void capacity_backward(const capacity& limit, const routing<float>& routed,
                                      const routing<float>& kept, const matrix_view<const float>& upstream,
                                      const matrix_view<float>& gradient) {
  limit_backward(limit, routed, kept, upstream, gradient);
}
DISTILL_INLINE void capacity_backward(const capacity& limit, const routing<double>& routed,
                                      const routing<double>& kept, const matrix_view<const double>& upstream,
                                      const matrix_view<double>& gradient) {
  limit_backward(limit, routed, kept, upstream, gradient);
}

}  // namespace distill::inline DISTILL_ABI::detail
