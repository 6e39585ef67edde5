#pragma once

#include <distill/execution/executor.hpp>
#include <distill/execution/workspace.hpp>
#include <distill/view/vector_view.hpp>
#include <optional>

namespace distill::inline DISTILL_ABI {

/// What the sum of weighted row values is divided by. A row counts if its weight is not 0 (and, for
/// cross_entropy, its label is not ignore_index); in an objective each loss counts its own rows.
enum class reduction {
  none,        ///< 1; row_values must be given, and the gradient is that of the sum
  sum,         ///< 1
  batch_mean,  ///< the number of counted rows: the sum over classes, the mean over rows
  mean         ///< the number of counted rows times the number of classes
};

/// How rows enter a loss; the last argument of every loss.
struct row_options {
  distill::reduction reduction = distill::reduction::batch_mean;
  /// [rows] finite factors on value and gradient; a row of weight 0 is masked: never read, whatever it holds,
  /// not counted, its gradient written as 0. Empty: every row has weight 1.
  vector_view<const float> row_weights = {};
  /// Divides instead of what the reduction says (finite, > 0; not with reduction::none): the count over a
  /// whole accumulated or distributed batch.
  std::optional<double> denominator = std::nullopt;
  /// [rows] out: weight times value of each row, before the division; 0 for masked rows.
  vector_view<double> row_values = {};
  /// [rows] out: the derivative of the loss by the temperature of each row, that of student and teacher
  /// moving together; T² factor, weight, coefficient and denominator included. 0 for masked rows, NaN where a
  /// value is not finite. The sum is the derivative by a temperature that all rows share. It is that of all
  /// losses with a teacher and a temperature: cross_entropy, whose temperature is its own, and logit_mse have
  /// no part in it. What else a temperature moves, such as taid_kl's and corrected_kl's target, moves;
  /// adaptive_kl's weight is held constant, as in its gradient. Takes a walk over the rows of its own,
  /// universal_logit apart; value and gradient are the same bits with or without. parameter_error for a
  /// divergence without teacher_slope and for losses that have no temperature at all. See
  /// docs/concepts/temperature.md.
  vector_view<double> temperature_slopes = {};
  /// Add to the gradient buffer instead of overwriting it.
  bool accumulate = false;
  executor_ref executor = {};
  /// Scratch kept between calls; without one the call allocates its own, once.
  distill::workspace* workspace = nullptr;
};

}  // namespace distill::inline DISTILL_ABI
