#pragma once

#include <cstdint>
#include <distill/execution/executor.hpp>
#include <distill/execution/workspace.hpp>
#include <distill/moe/routing.hpp>
#include <distill/view/matrix_view.hpp>
#include <distill/view/vector_view.hpp>

namespace distill::inline DISTILL_ABI {

/// A routing sorted by expert, in memory that somebody else owns: one row for each assignment of a token to
/// an expert, the rows of an expert together, within an expert by token and then by slot. Rows that only pad
/// have token and slot -1. Any member but the offsets may be left empty where it is not wanted.
struct expert_order {
  /// [experts + 1] expert e has the rows [offsets[e], offsets[e + 1]); the last entry is the number of rows.
  vector_view<std::int64_t> offsets = {};
  /// [rows or more] the token of each row.
  vector_view<std::int32_t> tokens = {};
  /// [rows or more] which of its token's k choices each row is.
  vector_view<std::int32_t> slots = {};
  /// [tokens, k] the row of each assignment, -1 for no_expert: the inverse of the two above.
  matrix_view<std::int64_t> rows = {};

  constexpr std::size_t experts() const { return offsets.empty() ? 0 : offsets.size() - 1; }
};

/// Parameters of order_by_expert.
struct expert_order_options {
  /// The rows of each expert are padded to a multiple of this; > 0. An expert without tokens has no rows.
  std::size_t block_size = 1;
  /// If not 0, every expert has exactly so many rows, as in an [experts, capacity, width] buffer; a multiple
  /// of block_size. An expert that was given more tokens is an error: see capacity.
  std::size_t rows_per_expert = 0;
  executor_ref executor = {};
  /// Scratch kept between calls, 8 (experts + 1) bytes for each of at most 64 threads; without one the call
  /// allocates its own.
  distill::workspace* workspace = nullptr;
};

/// How many rows an order can have at most, to size its buffers: tokens k, and with padding at most
/// block_size - 1 more for each expert that has a token; or experts rows_per_expert. Throws parameter_error,
/// as order_by_expert does.
std::size_t most_expert_rows(std::size_t tokens, std::size_t experts_per_token, std::size_t experts,
                             const expert_order_options& options = {});

/// Sorts the assignments of a routing by expert (a stable counting sort) and returns the number of rows.
///
/// Shapes: experts [tokens, k], any strides, each in [0, order.experts()) or no_expert, which has no row.
/// Entries of order.tokens and order.slots from the returned number on are left as they are. No tokens: no
/// rows. Throws: data_error for an id out of range or an expert with more than rows_per_expert tokens,
/// shape_error for a buffer too small, parameter_error, layout_error for missing or overlapping memory;
/// before anything is written. Cost: two passes over the ids; on one thread about 1.5 ns for each assignment
/// in cache
/// (`benchmarks/moe/expert_order_benchmark.cpp`). The result does not depend on the executor.
std::size_t order_by_expert(matrix_view<const std::int32_t> experts, const expert_order& order,
                            const expert_order_options& options = {});

/// The experts of each token, out of an order: what was sorted, where order.tokens and order.slots say;
/// no_expert elsewhere. Throws: data_error if a token or slot has no place in `experts` [tokens, k];
/// shape_error, layout_error; before anything is written.
void experts_from_order(const expert_order& order, matrix_view<std::int32_t> experts);

/// in_order[order.rows(t, j)] = weights(t, j): a number for each assignment, such as its weight, in expert
/// order; 0 in the rows that only pad. The gradient of weights_from_order.
///
/// Shapes: weights as order.rows [tokens, k], in_order [rows or more]; padding is found by order.tokens, and
/// is left as it is where they are empty. Throws: data_error for a row outside, shape_error, layout_error;
/// before anything is written.
void weights_in_order(matrix_view<const float> weights, const expert_order& order,
                      vector_view<float> in_order);
void weights_in_order(matrix_view<const double> weights, const expert_order& order,
                      vector_view<double> in_order);

/// weights(t, j) = in_order[order.rows(t, j)], 0 for no_expert: back from expert order. The gradient of
/// weights_in_order. Shapes and errors are the same.
void weights_from_order(vector_view<const float> in_order, const expert_order& order,
                        matrix_view<float> weights);
void weights_from_order(vector_view<const double> in_order, const expert_order& order,
                        matrix_view<double> weights);

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/moe/expert_order-inl.hpp>
#endif
