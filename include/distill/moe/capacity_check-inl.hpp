// What a capacity checks before anything is written.
#pragma once

#include <cmath>
#include <distill/error/parameter_text-inl.hpp>
#include <distill/moe/assignment_check-inl.hpp>
#include <distill/moe/capacity.hpp>
#include <limits>

namespace distill::inline DISTILL_ABI::detail {

inline void check_capacity(const capacity& limit, std::size_t experts) {
  if (limit.tokens_per_expert && *limit.tokens_per_expert < 0)
    throw_parameter("capacity", "tokens_per_expert", ">= 0", std::to_string(*limit.tokens_per_expert));
  if (!(std::isfinite(limit.factor) && limit.factor > 0))
    throw_parameter("capacity", "factor", "finite and > 0", text_of(limit.factor));
  if (limit.minimum < 0) throw_parameter("capacity", "minimum", ">= 0", std::to_string(limit.minimum));
  if (limit.weight_sum && !(std::isfinite(*limit.weight_sum) && *limit.weight_sum > 0))
    throw_parameter("capacity", "weight_sum", "finite and > 0", text_of(*limit.weight_sum));
  if (experts == 0 || experts > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
    throw_parameter("capacity", "experts", "in [1, 2147483647]", std::to_string(experts));
}

template <class T, class U>
bool same_entries(const matrix_view<T>& a, const matrix_view<U>& b) {
  return a.data_handle() == b.data_handle() && (a.rows() <= 1 || a.stride(0) == b.stride(0)) &&
         (a.columns() <= 1 || a.stride(1) == b.stride(1));
}

// An output may be exactly an input of the same kind.
template <class T, class U>
void require_same_or_apart(const char* what, const matrix_view<T>& out, const char* other,
                           const matrix_view<U>& in) {
  if (!same_entries(in, out)) require_apart("capacity", {{what, bytes_of(out)}}, {{other, bytes_of(in)}});
}

template <class Weight>
void check_routings(const routing<Weight>& routed, const routing<Weight>& kept) {
  const std::size_t tokens = routed.tokens(), slots = routed.experts_per_token();
  require_assignments("capacity", "routed.experts", routed.experts, "routed.experts", tokens, slots);
  require_assignments("capacity", "routed.weights", routed.weights, "routed.experts", tokens, slots);
  require_assignments("capacity", "kept.experts", kept.experts, "routed.experts", tokens, slots);
  require_assignments("capacity", "kept.weights", kept.weights, "routed.experts", tokens, slots);
}

template <class Weight>
void check_capacity_outputs(const routing<Weight>& routed, const routing<Weight>& kept,
                            const capacity_options& options) {
  const std::size_t tokens = routed.tokens(), slots = routed.experts_per_token();
  require_distinct_elements("capacity", "kept.experts", kept.experts);
  require_distinct_elements("capacity", "kept.weights", kept.weights);
  require_same_or_apart("kept.experts", kept.experts, "routed.experts", routed.experts);
  require_same_or_apart("kept.weights", kept.weights, "routed.weights", routed.weights);
  const auto optional_output = [&](const char* what, const auto& m) {
    if (m.rows() == 0 && m.columns() == 0) return;
    require_assignments("capacity", what, m, "routed.experts", tokens, slots);
    require_distinct_elements("capacity", what, m);
  };
  optional_output("dropped", options.dropped);
  optional_output("locations", options.locations);
  require_apart("capacity", {{"kept.experts", bytes_of(kept.experts)}},
                {{"routed.weights", bytes_of(routed.weights)}});
  require_apart("capacity", {{"kept.weights", bytes_of(kept.weights)}},
                {{"routed.experts", bytes_of(routed.experts)}});
  require_apart("capacity",
                {{"kept.experts", bytes_of(kept.experts)},
                 {"kept.weights", bytes_of(kept.weights)},
                 {"dropped", bytes_of(options.dropped)},
                 {"locations", bytes_of(options.locations)}},
                {});
  require_apart("capacity",
                {{"dropped", bytes_of(options.dropped)}, {"locations", bytes_of(options.locations)}},
                {{"routed.experts", bytes_of(routed.experts)}, {"routed.weights", bytes_of(routed.weights)}});
}

}  // namespace distill::inline DISTILL_ABI::detail
