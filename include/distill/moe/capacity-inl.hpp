// Definitions of capacity.hpp. Compiled once in src/, or included by capacity.hpp in header-only mode.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <distill/moe/capacity.hpp>
#include <distill/moe/capacity_backward-inl.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

// ---- who survives

/// A weight or token in its order of priority: larger keys first, NaN last, ties by index.
struct ranked_index {
  std::uint64_t key;
  std::int64_t index;
};

inline bool comes_first(const ranked_index& a, const ranked_index& b) {
  return a.key != b.key ? a.key > b.key : a.index < b.index;
}

// Ordered as the weights are, with -0 as 0 and NaN below -inf.
inline std::uint64_t priority_key(double weight) {
  if (std::isnan(weight)) return 0;
  const auto bits = std::bit_cast<std::uint64_t>(weight + 0.0);
  constexpr std::uint64_t sign = std::uint64_t{1} << 63;
  return (bits & sign) != 0 ? ~bits : bits | sign;
}

/// Scratch of one call: a flag for each assignment, a count for each expert, and what the rules sort.
struct capacity_scratch {
  std::uint8_t* survives;
  std::int64_t* counts;  // [experts + 1]
  ranked_index* ranked;

  capacity_scratch(workspace& memory, std::size_t assignments, std::size_t experts,
                   std::size_t ranked_count) {
    const auto lines = [](std::size_t bytes) {
      return (bytes + workspace::alignment - 1) / workspace::alignment * workspace::alignment;
    };
    const std::size_t flags = lines(assignments), counters = lines((experts + 1) * sizeof(std::int64_t));
    std::byte* const p = memory.require(flags + counters + ranked_count * sizeof(ranked_index));
    survives = reinterpret_cast<std::uint8_t*>(p);
    counts = reinterpret_cast<std::int64_t*>(p + flags);
    ranked = reinterpret_cast<ranked_index*>(p + flags + counters);
    std::fill_n(survives, assignments, std::uint8_t{0});
    std::fill_n(counts, experts + 1, 0);
  }
};

// One assignment after the other takes a place while there are some.
template <class Weight>
void take_place(const routing<Weight>& routed, std::size_t t, std::size_t j, std::int64_t most,
                const capacity_scratch& scratch) {
  const std::int32_t expert = routed.experts(t, j);
  if (expert >= 0 && scratch.counts[expert]++ < most)
    scratch.survives[t * routed.experts_per_token() + j] = 1;
}

template <class Weight>
void keep_by_position(const routing<Weight>& routed, std::int64_t most, const capacity_scratch& scratch) {
  for (std::size_t t = 0; t < routed.tokens(); ++t)
    for (std::size_t j = 0; j < routed.experts_per_token(); ++j) take_place(routed, t, j, most, scratch);
}

template <class Weight>
void keep_by_choice(const routing<Weight>& routed, std::int64_t most, const capacity_scratch& scratch) {
  for (std::size_t j = 0; j < routed.experts_per_token(); ++j)
    for (std::size_t t = 0; t < routed.tokens(); ++t) take_place(routed, t, j, most, scratch);
}

template <class Weight>
void keep_by_best_weight(const routing<Weight>& routed, std::int64_t most, const capacity_scratch& scratch) {
  const std::size_t tokens = routed.tokens();
  for (std::size_t t = 0; t < tokens; ++t) {
    std::uint64_t key = 0;
    for (std::size_t j = 0; j < routed.experts_per_token(); ++j)
      if (routed.experts(t, j) >= 0)
        key = std::max(key, priority_key(static_cast<double>(routed.weights(t, j))));
    scratch.ranked[t] = {key, static_cast<std::int64_t>(t)};
  }
  std::sort(scratch.ranked, scratch.ranked + tokens, comes_first);
  for (std::size_t j = 0; j < routed.experts_per_token(); ++j)
    for (std::size_t i = 0; i < tokens; ++i)
      take_place(routed, static_cast<std::size_t>(scratch.ranked[i].index), j, most, scratch);
}

template <class Weight>
void keep_by_weight(const routing<Weight>& routed, std::size_t experts, std::int64_t most,
                    const capacity_scratch& scratch, const executor_ref& executor) {
  const std::size_t slots = routed.experts_per_token();
  const auto each = [&](auto f) {
    for (std::size_t t = 0; t < routed.tokens(); ++t)
      for (std::size_t j = 0; j < slots; ++j)
        if (routed.experts(t, j) >= 0) f(t, j, static_cast<std::size_t>(routed.experts(t, j)));
  };
  each([&](std::size_t, std::size_t, std::size_t e) { ++scratch.counts[e + 1]; });
  for (std::size_t e = 0; e < experts; ++e) scratch.counts[e + 1] += scratch.counts[e];
  // The end of an expert's stretch moves to its beginning while it is filled from behind.
  for (std::size_t t = routed.tokens(); t-- > 0;)
    for (std::size_t j = slots; j-- > 0;)
      if (routed.experts(t, j) >= 0)
        scratch.ranked[--scratch.counts[routed.experts(t, j) + 1]] = {
            priority_key(static_cast<double>(routed.weights(t, j))),
            static_cast<std::int64_t>(t * slots + j)};
  std::int64_t total = 0;
  each([&](std::size_t, std::size_t, std::size_t) { ++total; });
  executor.for_each_block(experts, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t e = begin; e < end; ++e) {
      const std::int64_t from = scratch.counts[e + 1], to = e + 1 < experts ? scratch.counts[e + 2] : total;
      const std::int64_t survivors = std::min(most, to - from);
      if (survivors < to - from)
        std::nth_element(scratch.ranked + from, scratch.ranked + from + survivors, scratch.ranked + to,
                         comes_first);
      for (std::int64_t i = 0; i < survivors; ++i)
        scratch.survives[static_cast<std::size_t>(scratch.ranked[from + i].index)] = 1;
    }
  });
}

// ---- what is written

// A token's weights: their sum over the survivors, in double.
template <class Weight>
double surviving_sum(const routing<Weight>& routed, std::size_t t, const std::uint8_t* survives) {
  double sum = 0;
  for (std::size_t j = 0; j < routed.experts_per_token(); ++j)
    if (survives[j] != 0) sum += static_cast<double>(routed.weights(t, j));
  return sum;
}

template <class Weight>
void write_token(const capacity& limit, const routing<Weight>& routed, const routing<Weight>& kept,
                 std::size_t t, const capacity_options& options, const capacity_scratch& scratch,
                 capacity_report& report) {
  const std::size_t slots = routed.experts_per_token();
  const std::uint8_t* const survives = scratch.survives + t * slots;
  const double sum = limit.weight_sum ? surviving_sum(routed, t, survives) : 0;
  const bool rescales = sum != 0;
  for (std::size_t j = 0; j < slots; ++j) {
    const std::int32_t expert = routed.experts(t, j);
    const bool stays = survives[j] != 0;
    if (expert >= 0) ++report.assignments;
    if (expert >= 0 && !stays) ++report.dropped;
    if (options.dropped.rows() > 0) options.dropped(t, j) = expert >= 0 && !stays ? 1 : 0;
    if (options.locations.rows() > 0)
      options.locations(t, j) = stays ? static_cast<std::int32_t>(scratch.counts[expert]++) : -1;
    const double weight = static_cast<double>(routed.weights(t, j));
    kept.weights(t, j) = !stays     ? Weight(0)
                         : rescales ? static_cast<Weight>(*limit.weight_sum * (weight / sum))
                                    : routed.weights(t, j);
    kept.experts(t, j) = stays ? expert : no_expert;
  }
}

template <class Weight>
capacity_report limit_assignments(const capacity& limit, const routing<Weight>& routed,
                                  const routing<Weight>& kept, std::size_t experts,
                                  const capacity_options& options) {
  check_capacity(limit, experts);
  check_routings(routed, kept);
  check_capacity_outputs(routed, kept, options);
  require_indices<std::int32_t>("capacity", "routed.experts", routed.experts, experts);
  const std::size_t tokens = routed.tokens(), assignments = tokens * routed.experts_per_token();
  const bool ranks_tokens = limit.priority == capacity_priority::best_weight;
  const std::size_t ranked = ranks_tokens                                  ? tokens
                             : limit.priority == capacity_priority::weight ? assignments
                                                                           : 0;
  workspace own;
  const capacity_scratch scratch(options.workspace != nullptr ? *options.workspace : own, assignments,
                                 experts, ranked);
  capacity_report report;
  report.tokens_per_expert = limit.of(tokens, routed.experts_per_token(), experts);
  switch (limit.priority) {
    case capacity_priority::position:
      keep_by_position(routed, report.tokens_per_expert, scratch);
      break;
    case capacity_priority::choice:
      keep_by_choice(routed, report.tokens_per_expert, scratch);
      break;
    case capacity_priority::best_weight:
      keep_by_best_weight(routed, report.tokens_per_expert, scratch);
      break;
    case capacity_priority::weight:
      keep_by_weight(routed, experts, report.tokens_per_expert, scratch, options.executor);
      break;
  }
  std::fill_n(scratch.counts, experts, 0);  // from here on the next location of each expert
  for (std::size_t t = 0; t < tokens; ++t) write_token(limit, routed, kept, t, options, scratch, report);
  return report;
}

DISTILL_INLINE capacity_report apply_capacity(const capacity& limit, const routing<float>& routed,
                                              const routing<float>& kept, std::size_t experts,
                                              const capacity_options& options) {
  return limit_assignments(limit, routed, kept, experts, options);
}
DISTILL_INLINE capacity_report apply_capacity(const capacity& limit, const routing<double>& routed,
                                              const routing<double>& kept, std::size_t experts,
                                              const capacity_options& options) {
  return limit_assignments(limit, routed, kept, experts, options);
}
}  // namespace detail

DISTILL_INLINE std::int64_t capacity::of(std::size_t tokens, std::size_t experts_per_token,
                                         std::size_t experts) const {
  detail::check_capacity(*this, experts);
  if (tokens_per_expert) return *tokens_per_expert;
  const double assignments = static_cast<double>(tokens) * static_cast<double>(experts_per_token);
  const double share = assignments * factor / static_cast<double>(experts);
  const double nearest = std::round(share);
  const double rounded = std::abs(share - nearest) <= 1e-12 * nearest ? nearest : std::ceil(share);
  return std::max(minimum, static_cast<std::int64_t>(std::min(rounded, assignments)));
}

}  // namespace distill::inline DISTILL_ABI
