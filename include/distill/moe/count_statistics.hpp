#pragma once

#include <distill/moe/balance_options.hpp>
#include <distill/moe/sequence_balance_loss.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/untyped_matrix.hpp>

namespace distill::inline DISTILL_ABI {

/// Adds one batch's statistics to another's, member by member: micro-batches of a step, processes of a job.
/// Throws shape_error where their sizes differ; nothing is written then. `from` may not share memory with
/// `into`.
void add_statistics(router_statistics& into, const router_statistics& from);

/// Adds to `counts` [experts] how often each expert is named in a routing's expert ids [tokens, k], -1 being
/// none.
///
/// `first_choices`: only that many of each token's k experts, 0 for all; 1 for gshard_loss. The ids may be
/// those that the router chose or what a capacity has left of them: the counts are of what is passed. Throws:
/// shape_error, layout_error, data_error for an id outside [0, experts) that is not -1, before anything is
/// written.
void count_assignments(matrix_view<const std::int32_t> experts, vector_view<std::int64_t> counts,
                       std::size_t first_choices = 0);

namespace detail {
void count_statistics(matrix_view<const std::int32_t> experts, const input_matrix& scores,
                      router_statistics& statistics, const token_options& tokens);
void count_sequence_statistics(matrix_view<const std::int32_t> experts, const input_matrix& scores,
                               const sequence_statistics& statistics, const token_options& tokens);
}  // namespace detail

/// Adds a batch to router statistics, for users without the gate: assignments from the expert ids [tokens,
/// k], probability sums from the scores [tokens, experts], and the count of tokens.
///
/// Scores are softmax probabilities, or sigmoids that are divided by their sum here (`token_options`). Of the
/// options the mask is used as well: a masked token is not read. `squared_log_sum_exp` is left as it is:
/// probabilities do not tell it. Special values: a token with a score that is not finite, or sigmoids that
/// are all 0, is counted in `bad_rows` and `assignments` only. Throws: shape_error, layout_error, data_error,
/// before anything is written. Cost: one pass on the calling thread; sums in double, in the order of tokens,
/// so that micro-batches counted one after the other give the bits of the whole batch.
template <class Scores>
void count_statistics(matrix_view<const std::int32_t> experts, Scores&& scores, router_statistics& statistics,
                      const token_options& tokens = {}) {
  detail::count_statistics(experts, as_view(std::forward<Scores>(scores)), statistics, tokens);
}

/// The same for every sequence of a batch: rows [s n, (s + 1) n) of ids and scores, n = tokens / sequences,
/// are sequence s.
template <class Scores>
void count_sequence_statistics(matrix_view<const std::int32_t> experts, Scores&& scores,
                               const sequence_statistics& statistics, const token_options& tokens = {}) {
  detail::count_sequence_statistics(experts, as_view(std::forward<Scores>(scores)), statistics, tokens);
}

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/count_statistics-inl.hpp>
#endif
