// Definitions of balance_backward.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <distill/moe/balance_backward.hpp>
#include <distill/moe/router_memory-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

template <class Scores, class Gradient>
void balance_backward_row(const Scores& scores, matrix_view<const double> slopes, const Gradient& gradient,
                          const token_options& tokens, std::size_t t, std::size_t sequence) {
  const std::size_t experts = scores.columns();
  const bool sigmoid = tokens.scores == router_scores::sigmoid;
  double sum = 0, dot = 0;
  const bool counted = is_counted(tokens, t);
  for (std::size_t i = 0; i < experts && counted; ++i) {
    const double s = as_double(scores(t, i));
    sum += s;
    dot += slopes(sequence, i) * s;
  }
  const double scale = sigmoid ? 1 / sum : 1, mean = dot * scale;
  const bool moves = counted && std::isfinite(sum) && (!sigmoid || sum > 0);
  for (std::size_t i = 0; i < experts; ++i) {
    auto& out = gradient(t, i);
    double value = 0;
    if (moves) {
      const double s = as_double(scores(t, i));
      value = s * (slopes(sequence, i) - mean) * (sigmoid ? (1 - s) * scale : 1);
    }
    if (tokens.accumulate)
      assign_double(out, moves ? as_double(out) + value : as_double(out));
    else
      assign_double(out, value);
  }
}

DISTILL_INLINE void balance_backward(const input_matrix& scores, matrix_view<const double> slopes,
                                     const output_matrix& gradient, const token_options& tokens) {
  const char* const name = "balance_backward";
  require_scores(name, "scores", scores);
  require_extent(name, "slopes", slopes.columns(), "experts", "scores", scores.columns);
  if (slopes.data_handle() == nullptr) throw layout_error(std::string(name) + ": slopes has no memory");
  if (slopes.rows() == 0 || scores.rows % slopes.rows() != 0)
    throw shape_error(std::string(name) + ": scores has " + std::to_string(scores.rows) +
                      " tokens, slopes has " + std::to_string(slopes.rows()) +
                      " sequences; they must divide evenly");
  require_gradient(name, "gradient", gradient, "scores", scores);
  if (scores.rows > 0) {
    require_no_overlap(name, "scores", scores, "gradient", gradient);
    if (intersect(bytes_of(input_matrix(slopes)), bytes_of(gradient)))
      throw layout_error(std::string(name) + ": gradient overlaps slopes");
    if (tokens.accumulate && scores.data == gradient.data)
      throw layout_error(std::string(name) + ": gradient is the scores' memory and cannot be added to");
  }
  require_mask(name, tokens, "scores", scores.rows);
  const std::size_t per_sequence = scores.rows / slopes.rows(),
                    grain = std::size_t{16384} / scores.columns + 1;
  with_elements(scores, [&](const auto& s) {
    with_elements(gradient, [&](const auto& g) {
      tokens.executor.for_each_block(s.rows(), grain, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t)
          balance_backward_row(s, slopes, g, tokens, t, t / per_sequence);
      });
    });
  });
}

}  // namespace distill::inline DISTILL_ABI::detail
