// Batches of routed tokens for the tests, and their orders in memory that is exactly large enough.
#pragma once

#include <algorithm>
#include <cstdint>
#include <distill/dispatch.hpp>
#include <distill/moe/expert_order.hpp>
#include <distill/moe/routing.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "moe/dispatch_oracle.hpp"
#include "support/every_target.hpp"
#include "support/random_logits.hpp"

namespace routed_batch {

using dispatch_oracle::batch;

/// Distinct experts for every token; about one assignment in `every` is none, if not 0. Few different
/// weights.
inline batch random_batch(std::size_t tokens, std::size_t k, std::size_t experts, std::uint64_t seed,
                          std::size_t every = 0, bool ties = false) {
  support::random_source random(seed);
  batch b{tokens, k, experts, {}, {}};
  std::vector<int> ids(experts);
  for (std::size_t t = 0; t < tokens; ++t) {
    std::iota(ids.begin(), ids.end(), 0);
    for (std::size_t j = 0; j < k; ++j) {
      std::swap(ids[j], ids[j + random.bits() % (experts - j)]);
      const bool none = every > 0 && random.bits() % every == 0;
      b.ids.push_back(none ? -1 : ids[j]);
      const double weight = ties ? static_cast<double>(random.bits() % 4) / 4 : random.uniform();
      b.weights.push_back(none ? 0 : static_cast<double>(static_cast<float>(weight)));
    }
  }
  return b;
}

/// The batch in the caller's memory.
template <class Weight = float>
struct stored_routing {
  std::vector<std::int32_t> ids;
  std::vector<Weight> weights;
  distill::routing<Weight> view;

  explicit stored_routing(const batch& b)
      : ids(b.ids.begin(), b.ids.end()), weights(b.weights.begin(), b.weights.end()) {
    view = {distill::matrix_view<std::int32_t>(ids.data(), b.tokens, b.k),
            distill::matrix_view<Weight>(weights.data(), b.tokens, b.k)};
  }
  stored_routing(const stored_routing&) = delete;
};

struct stored_order {
  static constexpr int untouched = -77;
  std::vector<std::int64_t> offsets, rows;
  std::vector<std::int32_t> tokens, slots;
  distill::expert_order view;

  stored_order(const batch& b, std::size_t row_count)
      : offsets(b.experts + 1, untouched),
        rows(b.ids.size(), untouched),
        tokens(row_count, untouched),
        slots(row_count, untouched) {
    view = {offsets, tokens, slots, distill::matrix_view<std::int64_t>(rows.data(), b.tokens, b.k)};
  }
  explicit stored_order(const batch& b) : stored_order(b, b.ids.size()) {}
  stored_order(const stored_order&) = delete;

  bool is_untouched() const {
    const auto all = [](const auto& v) {
      return std::all_of(v.begin(), v.end(), [](auto x) { return x == untouched; });
    };
    return all(offsets) && all(rows) && all(tokens) && all(slots);
  }
};

/// Sorted by the library.
inline void sort(const batch& b, stored_order& order, const distill::expert_order_options& options = {}) {
  stored_routing<float> routing(b);
  distill::order_by_expert(routing.view.experts, order.view, options);
}

using support::on_every_target;

}  // namespace routed_batch
