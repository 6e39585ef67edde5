// Definitions of hash_gate.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <distill/moe/hash_gate.hpp>
#include <distill/moe/router_memory-inl.hpp>
#include <limits>

namespace distill::inline DISTILL_ABI {

namespace detail {

inline void check_table(const hash_gate& gate) {
  const char* const name = "hash_gate";
  if (gate.table.rows() == 0 || gate.table.columns() == 0)
    throw shape_error(std::string(name) + ": table has 0 " +
                      (gate.table.rows() == 0 ? "token ids" : "choices"));
  if (gate.table.data_handle() == nullptr) throw layout_error(std::string(name) + ": table has no memory");
  const auto k = static_cast<std::int64_t>(gate.table.columns());
  if (gate.experts < k || gate.experts > std::numeric_limits<std::int32_t>::max())
    throw parameter_error(std::string(name) + ": experts must be at least the table's " + std::to_string(k) +
                          " choices, got " + std::to_string(gate.experts));
}

inline void check_table_row(const hash_gate& gate, std::size_t id) {
  const auto place = [&](std::size_t slot) {
    return "hash_gate: table(" + std::to_string(id) + ", " + std::to_string(slot) + ") is " +
           std::to_string(gate.table(id, slot));
  };
  for (std::size_t slot = 0; slot < gate.table.columns(); ++slot) {
    const std::int32_t expert = gate.table(id, slot);
    if (expert < 0 || expert >= gate.experts)
      throw data_error(place(slot) + ", must be in [0, " + std::to_string(gate.experts) + ")");
    for (std::size_t before = 0; before < slot; ++before)
      if (gate.table(id, before) == expert)
        throw data_error(place(slot) + ", as the one at " + std::to_string(before));
  }
}

inline void check_token_ids(const hash_gate& gate, const label_view& ids, const token_options& tokens) {
  for (std::size_t t = 0; t < ids.size(); ++t) {
    if (!is_counted(tokens, t)) continue;
    const std::int64_t id = ids[t];
    if (id < 0 || static_cast<std::size_t>(id) >= gate.table.rows())
      throw data_error("hash_gate: token_ids[" + std::to_string(t) + "] is " + std::to_string(id) +
                       ", must be in [0, " + std::to_string(gate.table.rows()) + ")");
    check_table_row(gate, static_cast<std::size_t>(id));
  }
}

// The weights of one token from its logits; 1 / k where they have no softmax.
template <class Logits, class Weights>
void weigh(const Logits& logits, matrix_view<const std::int32_t> ids, const Weights& weights, std::size_t t) {
  const auto logit = [&](std::size_t slot) {
    return as_double(logits(t, static_cast<std::size_t>(ids(t, slot))));
  };
  const std::size_t k = ids.columns();
  double maximum = logit(0), sum = 0;
  bool finite = true;
  for (std::size_t slot = 0; slot < k; ++slot) {
    finite = finite && std::isfinite(logit(slot));
    maximum = std::max(maximum, logit(slot));
  }
  for (std::size_t slot = 0; slot < k && finite; ++slot) sum += std::exp(logit(slot) - maximum);
  for (std::size_t slot = 0; slot < k; ++slot)
    assign_double(weights(t, slot),
                  finite ? std::exp(logit(slot) - maximum) / sum : 1 / static_cast<double>(k));
}

// The gradient of one token's logits.
template <class Logits, class Upstream, class Gradient>
void unweigh(const Logits& logits, matrix_view<const std::int32_t> ids, const Upstream& upstream,
             const Gradient& gradient, const token_options& tokens, std::size_t t) {
  const std::size_t k = ids.columns();
  for (std::size_t i = 0; i < gradient.columns() && !tokens.accumulate; ++i) assign_double(gradient(t, i), 0);
  double maximum = -std::numeric_limits<double>::infinity(), sum = 0, mean = 0;
  bool moves = is_counted(tokens, t);
  for (std::size_t slot = 0; slot < k && moves; ++slot) {
    moves = ids(t, slot) != no_expert;
    const double z = moves ? as_double(logits(t, static_cast<std::size_t>(ids(t, slot)))) : 0;
    moves = moves && std::isfinite(z);
    maximum = std::max(maximum, z);
  }
  if (!moves) return;
  const auto exponential = [&](std::size_t slot) {
    return std::exp(as_double(logits(t, static_cast<std::size_t>(ids(t, slot)))) - maximum);
  };
  for (std::size_t slot = 0; slot < k; ++slot) {
    const double e = exponential(slot);
    sum += e;
    mean += e * as_double(upstream(t, slot));
  }
  mean /= sum;
  for (std::size_t slot = 0; slot < k; ++slot) {
    auto& out = gradient(t, static_cast<std::size_t>(ids(t, slot)));
    const double value = exponential(slot) / sum * (as_double(upstream(t, slot)) - mean);
    assign_double(out, tokens.accumulate ? as_double(out) + value : value);
  }
}

}  // namespace detail

DISTILL_INLINE void hash_gate::choose(const label_view& token_ids, const detail::input_matrix& logits,
                                      matrix_view<std::int32_t> experts_out,
                                      const detail::output_matrix& weights,
                                      const token_options& tokens) const {
  const char* const name = "hash_gate";
  detail::check_table(*this);
  const std::size_t count = token_ids.size(), k = table.columns();
  detail::require_mask(name, tokens, "token_ids", count);
  detail::require_matrix(name, "experts", experts_out, "tokens", count, "choices", k, "table");
  detail::require_extent(name, "weights", weights.rows, "tokens", "token_ids", count);
  detail::require_extent(name, "weights", weights.columns, "choices", "table", k);
  detail::require_memory(name, "weights", weights);
  detail::require_distinct_elements(name, "weights", weights);
  const bool weighs = logits.columns > 0;
  if (weighs) {
    detail::require_extent(name, "logits", logits.rows, "tokens", "token_ids", count);
    detail::require_extent(name, "logits", logits.columns, "experts", "hash_gate",
                           static_cast<std::size_t>(experts));
    detail::require_memory(name, "logits", logits);
    if ((logits.type == element_type::float64) != (weights.type == element_type::float64))
      throw layout_error(std::string(name) + ": weights is " + name_of(weights.type) + ", logits is " +
                         name_of(logits.type));
    if (count > 0 && detail::intersect(detail::bytes_of(logits), detail::bytes_of(weights)))
      throw layout_error(std::string(name) + ": weights overlaps logits");
  }
  detail::check_token_ids(*this, token_ids, tokens);
  const std::size_t grain = 4096;
  detail::with_elements(weights, [&](const auto& out) {
    detail::with_elements(logits, [&](const auto& z) {
      tokens.executor.for_each_block(count, grain, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t) {
          const bool counted = detail::is_counted(tokens, t);
          for (std::size_t slot = 0; slot < k; ++slot) {
            experts_out(t, slot) = counted ? table(static_cast<std::size_t>(token_ids[t]), slot) : no_expert;
            detail::assign_double(out(t, slot), counted ? 1 / static_cast<double>(k) : 0);
          }
          if (weighs && counted) detail::weigh(z, experts_out, out, t);
        }
      });
    });
  });
}

DISTILL_INLINE void hash_gate::operator()(label_view token_ids, const routing<float>& out,
                                          const token_options& tokens) const {
  choose(token_ids, {}, out.experts, detail::output_matrix(out.weights), tokens);
}
DISTILL_INLINE void hash_gate::operator()(label_view token_ids, const routing<double>& out,
                                          const token_options& tokens) const {
  choose(token_ids, {}, out.experts, detail::output_matrix(out.weights), tokens);
}

DISTILL_INLINE void hash_gate::run_backward(const detail::input_matrix& logits,
                                            matrix_view<const std::int32_t> chosen,
                                            const detail::input_matrix& weight_gradient,
                                            const detail::output_matrix& gradient,
                                            const token_options& tokens) const {
  const char* const name = "hash_gate";
  detail::check_table(*this);
  const std::size_t count = chosen.rows(), k = table.columns();
  detail::require_scores(name, "logits", logits);
  detail::require_extent(name, "logits", logits.columns, "experts", "hash_gate",
                         static_cast<std::size_t>(experts));
  detail::require_matrix(name, "experts", chosen, "tokens", logits.rows, "choices", k, "table");
  detail::require_extent(name, "weight_gradient", weight_gradient.rows, "tokens", "logits", count);
  detail::require_extent(name, "weight_gradient", weight_gradient.columns, "choices", "table", k);
  detail::require_memory(name, "weight_gradient", weight_gradient);
  detail::require_gradient(name, "gradient", gradient, "logits", logits);
  detail::require_mask(name, tokens, "logits", count);
  if (count > 0) {
    if (detail::intersect(detail::bytes_of(logits), detail::bytes_of(gradient)))
      throw layout_error(std::string(name) + ": gradient overlaps logits");
    if (detail::intersect(detail::bytes_of(weight_gradient), detail::bytes_of(gradient)))
      throw layout_error(std::string(name) + ": gradient overlaps weight_gradient");
  }
  detail::require_indices(name, "experts", chosen, static_cast<std::size_t>(experts));
  const std::size_t grain = std::size_t{16384} / logits.columns + 1;
  detail::with_elements(logits, [&](const auto& z) {
    detail::with_elements(weight_gradient, [&](const auto& upstream) {
      detail::with_elements(gradient, [&](const auto& out) {
        tokens.executor.for_each_block(count, grain, [&](std::size_t begin, std::size_t end) {
          for (std::size_t t = begin; t < end; ++t) detail::unweigh(z, chosen, upstream, out, tokens, t);
        });
      });
    });
  });
}

}  // namespace distill::inline DISTILL_ABI
