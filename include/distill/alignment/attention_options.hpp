#pragma once

#include <distill/alignment/matrix_product.hpp>
#include <distill/loss/label_view.hpp>
#include <distill/loss/row_options.hpp>
#include <distill/view/mask_view.hpp>

namespace distill::inline DISTILL_ABI {

/// Which queries and keys take part in an attention loss, and how its rows are reduced; the last argument of
/// attention_kl, attention_mse and relation. Without masks everything takes part. Several masks hold at once.
///
/// A row is a query of a head of a sample. It counts if its query takes part and sees at least one key. What
/// is masked is never read, whatever it holds; its gradient is written as 0. A query that sees no key
/// contributes 0 and is not counted.
struct attention_options {
  /// none, sum; batch_mean: divided by the counted rows, heads included; mean: by the query-key pairs that
  /// take part.
  distill::reduction reduction = distill::reduction::batch_mean;
  /// [batch, keys] and [batch, queries]: not 0 takes part.
  mask_view key_mask = {};
  mask_view query_mask = {};
  /// [batch] in [1, keys] and in [1, queries]: positions from there on are masked. For self-attention over
  /// padded samples give the same lengths to both.
  label_view key_lengths = {};
  label_view query_lengths = {};
  /// Query i sees keys up to i + keys - queries. Needs keys >= queries.
  bool causal = false;
  /// Divides instead of what the reduction says (finite, > 0; not with reduction::none).
  std::optional<double> denominator = std::nullopt;
  /// [batch * heads * queries] out: the value of each row before the division; 0 where it does not count.
  vector_view<double> row_values = {};
  /// Add to the gradient instead of overwriting it.
  bool accumulate = false;
  /// Who multiplies; only where a loss is evaluated from queries and keys, and then it must be given.
  std::optional<matrix_product_ref> product = std::nullopt;
  executor_ref executor = {};
  /// Scratch kept between calls; without one the call allocates its own, once.
  distill::workspace* workspace = nullptr;
};

}  // namespace distill::inline DISTILL_ABI
