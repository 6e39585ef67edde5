#pragma once

#include <cstdint>
#include <distill/view/matrix_view.hpp>
#include <distill/view/vector_view.hpp>

namespace distill::inline DISTILL_ABI {

/// What a router did with a batch: the input of every balance loss, in memory that somebody else owns.
///
/// Plain sums over counted (unmasked) tokens. The statistics of several micro-batches or processes are added
/// member by member, whoever does the adding; pass a routing function no statistics where nothing is to be
/// counted (evaluation, or the second forward call of recomputation). A token with a logit that is NaN or
/// infinite is routed, counted in `bad_rows` and `assignments`, and left out of the other sums.
struct router_statistics {
  /// [experts] how many tokens chose each expert.
  vector_view<std::int64_t> assignments = {};
  /// [experts] Σ of each expert's router probability: softmax, or the scores divided by their sum over the
  /// experts. Empty: not wanted, which spares an exponential per logit.
  vector_view<double> probability_sums = {};
  /// Counted tokens whose logits are all finite.
  std::int64_t tokens = 0;
  /// Counted tokens with a logit that is not.
  std::int64_t bad_rows = 0;
  /// Σ log(Σ exp(logit))², for the router z-loss. Counted where probability_sums are.
  double squared_log_sum_exp = 0;
};

/// router_statistics of each sequence, a row each, in memory that somebody else owns.
struct sequence_statistics {
  /// [sequences, experts]
  matrix_view<std::int64_t> assignments = {};
  matrix_view<double> probability_sums = {};
  /// [sequences] counted tokens.
  vector_view<std::int64_t> tokens = {};

  constexpr std::size_t sequences() const { return assignments.rows(); }
  constexpr std::size_t experts() const { return assignments.columns(); }
  /// One sequence as the statistics of a batch. `tokens` is a copy: write it back to `tokens[sequence]`.
  router_statistics operator[](std::size_t sequence) const {
    router_statistics row;
    row.assignments = {&assignments(sequence, 0), experts(), assignments.stride(1)};
    if (probability_sums.rows() > 0)
      row.probability_sums = {&probability_sums(sequence, 0), experts(), probability_sums.stride(1)};
    row.tokens = tokens[sequence];
    return row;
  }
};

}  // namespace distill::inline DISTILL_ABI
