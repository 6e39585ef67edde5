#pragma once

#include <ATen/core/Tensor.h>

#include <distill/moe/expert_order.hpp>

namespace torch_transformer {

/// Which row of the experts' common batch is whose, for one batch of tokens.
struct exchange_plan {
  at::Tensor offsets;  // [experts + 1] of Long: expert e has the rows [offsets[e], offsets[e + 1])
  at::Tensor rows;     // [tokens, k] of Long: the row of each assignment

  /// experts [tokens, k] of Int, as torch_gate gives them.
  static exchange_plan of(const at::Tensor& experts, std::int64_t expert_count);

  std::int64_t begin_of(std::int64_t expert) const { return offsets.data_ptr<std::int64_t>()[expert]; }
  std::int64_t count_of(std::int64_t expert) const { return begin_of(expert + 1) - begin_of(expert); }
  std::int64_t row_count() const { return begin_of(offsets.numel() - 1); }
  distill::expert_order order() const;
};

/// Every token's row to each of its experts: [tokens, width] to [rows, width]. Differentiable.
at::Tensor dispatch(const at::Tensor& tokens, const exchange_plan& plan);

/// The experts' answers back to their tokens, weighted: [rows, width] and [tokens, k] to [tokens, width].
/// Differentiable in both.
at::Tensor combine(const at::Tensor& rows, const at::Tensor& weights, const exchange_plan& plan);

}  // namespace torch_transformer
