// The checks before tokens are routed: everything that can be wrong is found before anything is written.
#pragma once

#include <distill/error/parameter_text-inl.hpp>
#include <distill/moe/assignment_check-inl.hpp>
#include <distill/moe/gate_job.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline std::string count_of(std::size_t value) { return std::to_string(value); }

inline void check_gate(const std::string& function, const top_k_gate& gate, std::size_t experts) {
  if (experts == 0) throw shape_error(function + ": logits has 0 experts");
  if (gate.k == 0 || gate.k > experts)
    throw_parameter(function, "k", "1 to the " + count_of(experts) + " experts", count_of(gate.k));
  if (!std::isfinite(gate.scaling_factor))
    throw_parameter(function, "scaling_factor", "finite", text_of(gate.scaling_factor));
  if (!(gate.jitter >= 0 && gate.jitter < 1))
    throw_parameter(function, "jitter", ">= 0 and < 1", text_of(gate.jitter));
  if (!(std::isfinite(gate.noise) && gate.noise >= 0))
    throw_parameter(function, "noise", "finite and >= 0", text_of(gate.noise));
  if (!gate.expert_bias.empty() && gate.expert_bias.size() != experts)
    throw shape_error(function + ": expert_bias has " + count_of(gate.expert_bias.size()) +
                      " entries, logits has " + count_of(experts) + " experts");
  if (gate.groups == 0 || experts % gate.groups != 0)
    throw_parameter(function, "groups", "a divisor of the " + count_of(experts) + " experts",
                    count_of(gate.groups));
  if (gate.kept_groups == 0 || gate.kept_groups > gate.groups)
    throw_parameter(function, "kept_groups", "1 to groups, " + count_of(gate.groups),
                    count_of(gate.kept_groups));
  if (gate.kept_groups * (experts / gate.groups) < gate.k)
    throw_parameter(
        function, "k",
        "at most the " + count_of(gate.kept_groups * (experts / gate.groups)) + " experts of the kept groups",
        count_of(gate.k));
  if (gate.kept_groups < gate.groups && gate.group_score == group_scoring::share_of_top_k &&
      gate.k % gate.kept_groups != 0)
    throw_parameter(function, "k", "a multiple of kept_groups for share_of_top_k", count_of(gate.k));
}

inline void require_float(const std::string& function, const char* what, element_type type) {
  if (size_of(type) < 4)
    throw layout_error(function + ": " + what + " must be float32 or float64, got " + name_of(type));
}

// Ids as bytes in memory, for the check of overlaps.
template <class T>
output_matrix as_bytes(const matrix_view<T>& m) {
  output_matrix result;
  result.data = const_cast<void*>(static_cast<const void*>(m.data_handle()));
  result.rows = m.rows(), result.columns = m.columns();
  result.row_stride = m.stride(0), result.column_stride = m.stride(1);
  return result;  // int32 has the size of float32, the default
}

inline void require_apart(const std::string& function, const char* what, const input_matrix& input,
                          const char* output_name, const output_matrix& output) {
  if (input.data == nullptr || output.data == nullptr || input.rows == 0 || input.columns == 0) return;
  if (intersect(bytes_of(input), bytes_of(output)) && !side_by_side(input, output))
    throw layout_error(function + ": " + output_name + " overlaps " + what);
}

// What both directions have: the logits, [tokens, k] experts, the mask, the noise.
inline void check_common(const std::string& function, const gate_job& job,
                         const matrix_view<const std::int32_t>& experts) {
  check_gate(function, job.gate, job.logits.columns);
  require_extent(function, "routing.experts", experts.rows(), "tokens", "logits", job.tokens());
  if (experts.columns() != job.gate.k)
    throw shape_error(function + ": routing.experts has " + count_of(experts.columns()) +
                      " experts per token, k is " + count_of(job.gate.k));
  require_memory(function, "logits", job.logits);
  require_memory(function, "routing.experts", experts);
  if (!job.token_mask.empty() && job.token_mask.size() != job.tokens())
    throw shape_error(function + ": token_mask has " + count_of(job.token_mask.size()) +
                      " entries, logits has " + count_of(job.tokens()) + " tokens");
  if (job.noise_deviation.rows() == 0) return;
  require_extent(function, "noise_deviation", job.noise_deviation.rows(), "tokens", "logits", job.tokens());
  require_extent(function, "noise_deviation", job.noise_deviation.columns(), "experts", "logits",
                 job.expert_count());
}

inline void check_statistics(const std::string& function, const router_statistics& statistics,
                             std::size_t experts) {
  const auto require = [&](const char* what, std::size_t size) {
    if (size != experts)
      throw shape_error(function + ": " + what + " has " + count_of(size) + " entries, logits has " +
                        count_of(experts) + " experts");
  };
  require("statistics.assignments", statistics.assignments.size());
  if (!statistics.probability_sums.empty())
    require("statistics.probability_sums", statistics.probability_sums.size());
}

inline void check_sequences(const std::string& function, const sequence_statistics& s,
                            const input_matrix& logits) {
  const std::size_t count = s.sequences();
  if (count == 0 || logits.rows % count != 0)
    throw shape_error(function + ": sequences has " + count_of(count) + " sequences, logits has " +
                      count_of(logits.rows) + " tokens; they must divide evenly");
  require_extent(function, "sequences.assignments", s.experts(), "experts", "logits", logits.columns);
  require_memory(function, "sequences.assignments", s.assignments);
  require_distinct_elements(function, "sequences.assignments", s.assignments);
  if (s.probability_sums.rows() > 0 || s.probability_sums.columns() > 0) {
    require_extent(function, "sequences.probability_sums", s.probability_sums.rows(), "sequences",
                   "sequences.assignments", count);
    require_extent(function, "sequences.probability_sums", s.probability_sums.columns(), "experts", "logits",
                   logits.columns);
    require_memory(function, "sequences.probability_sums", s.probability_sums);
    require_distinct_elements(function, "sequences.probability_sums", s.probability_sums);
  }
  if (s.tokens.size() != count)
    throw shape_error(function + ": sequences.tokens has " + count_of(s.tokens.size()) + " entries, " +
                      "sequences.assignments has " + count_of(count) + " sequences");
  require_memory(function, "sequences.tokens", s.tokens);
}

inline void check_route(const std::string& function, const gate_job& job, const gate_options& options) {
  check_common(function, job, job.experts);
  require_extent(function, "routing.weights", job.weights.rows, "tokens", "logits", job.tokens());
  if (job.weights.columns != job.gate.k)
    throw shape_error(function + ": routing.weights has " + count_of(job.weights.columns) +
                      " weights per token, k is " + count_of(job.gate.k));
  require_memory(function, "routing.weights", job.weights);
  const output_matrix ids = as_bytes(job.experts);
  require_distinct_elements(function, "routing.weights", job.weights);
  if (!job.replay) require_distinct_elements(function, "routing.experts", ids);
  require_apart(function, "logits", job.logits, "routing.weights", job.weights);
  require_apart(function, "routing.experts", as_input(ids), "routing.weights", job.weights);
  if (!job.replay) require_apart(function, "logits", job.logits, "routing.experts", ids);
  if (options.statistics != nullptr) check_statistics(function, *options.statistics, job.expert_count());
  if (options.sequences != nullptr) check_sequences(function, *options.sequences, job.logits);
  if (job.replay) require_indices<std::int32_t>(function, "routing.experts", job.experts, job.expert_count());
}

inline void check_backward(const std::string& function, const gate_job& job,
                           const matrix_view<const std::int32_t>& experts) {
  check_common(function, job, experts);
  const input_matrix& g = job.weight_gradient;
  if (g.data != nullptr) {
    require_extent(function, "weight_gradient", g.rows, "tokens", "logits", job.tokens());
    require_extent(function, "weight_gradient", g.columns, "columns", "routing.experts", job.gate.k);
    require_memory(function, "weight_gradient", g);
    require_float(function, "weight_gradient", g.type);
  }
  require_extent(function, "gradient", job.gradient.rows, "tokens", "logits", job.tokens());
  require_extent(function, "gradient", job.gradient.columns, "columns",
                 job.selected_only ? "routing.experts" : "logits",
                 job.selected_only ? job.gate.k : job.expert_count());
  require_memory(function, "gradient", job.gradient);
  require_distinct_elements(function, "gradient", job.gradient);
  require_apart(function, "logits", job.logits, "gradient", job.gradient);
  require_apart(function, "routing.experts", as_input(as_bytes(experts)), "gradient", job.gradient);
  if (g.data != nullptr) require_apart(function, "weight_gradient", g, "gradient", job.gradient);
  if (!std::isfinite(job.z_loss)) throw_parameter(function, "z_loss", "finite", text_of(job.z_loss));
  const bool has_slopes = job.slopes.rows() > 0;
  if (has_slopes) {
    require_extent(function, "probability_slopes", job.slopes.columns(), "experts", "logits",
                   job.expert_count());
    const std::size_t each = job.tokens_per_sequence;
    const std::size_t sequences = each == 0 ? 1 : (job.tokens() + each - 1) / each;
    if (job.slopes.rows() != sequences)
      throw shape_error(function + ": probability_slopes has " + count_of(job.slopes.rows()) +
                        " sequences, " + count_of(job.tokens()) + " tokens with tokens_per_sequence " +
                        count_of(each) + " are " + count_of(sequences));
  }
  if (job.selected_only && !job.is_sparse())
    throw_parameter(function, "renormalize", "true for softmax_then_top_k, whose gradient is dense otherwise",
                    "false");
  if (job.selected_only && (has_slopes || job.z_loss != 0))
    throw_parameter(function, has_slopes ? "probability_slopes" : "z_loss", "absent: its gradient is dense",
                    has_slopes ? count_of(job.slopes.rows()) + " rows" : text_of(job.z_loss));
  require_indices(function, "routing.experts", experts, job.expert_count());
}

}  // namespace distill::inline DISTILL_ABI::detail
