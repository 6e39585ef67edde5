#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <distill/curriculum/counter_random.hpp>
#include <distill/schedule/parameter.hpp>
#include <numeric>
#include <span>

namespace distill::inline DISTILL_ABI {

/// How the competence of a student grows.
enum class competence { linear, root, geometric };

/// Pacing by difficulty: which share of the samples, easiest first, a student may see at a step.
///
/// Competence at step s, x = min(s, steps) / steps, c = initial:
/// linear: c + (1 - c) x. root: (c^root + (1 - c^root) x)^(1 / root).
/// geometric: c^(1 - x).
/// Boundaries: `initial` at step 0, exactly 1 at step `steps` and after it; grows between.
/// Options: `shape`; `initial` (in (0, 1]); `steps` (>= 1); `root` (> 0), 2 being the square root of the
/// paper.
/// Throws: parameter_error for a parameter outside its range or a negative step.
/// Source: Platanios et al. 2019, arXiv 1903.09848, section 3.
struct pacing {
  competence shape = competence::root;
  double initial = 0.01;
  std::int64_t steps = 1;
  double root = 2;

  double operator()(std::int64_t step) const {
    detail::require_valid(*this, step);
    if (step >= steps) return 1;
    if (step == 0) return initial;
    const double x = static_cast<double>(step) / static_cast<double>(steps);
    if (shape == competence::linear) return std::lerp(initial, 1, x);
    if (shape == competence::geometric) return std::pow(initial, 1 - x);
    return std::pow(std::lerp(std::pow(initial, root), 1, x), 1 / root);
  }

  /// How many of so many samples: competence * samples, rounded up, at least 1.
  std::size_t available(std::int64_t step, std::size_t samples) const {
    const double share = (*this)(step);
    if (share == 1) return samples;
    const auto count = static_cast<std::size_t>(std::ceil(share * static_cast<double>(samples)));
    return std::min(std::max<std::size_t>(count, 1), samples);
  }

  /// A rank in [0, available(step, samples)), uniform, from (seed, step, draw) alone: look it up in the order
  /// of difficulty. `samples` > 0.
  std::size_t pick(std::int64_t step, std::size_t samples, std::uint64_t draw, std::uint64_t seed = 0) const {
    if (samples == 0) detail::throw_out_of_range(name, "samples", ">= 1", 0);
    const std::uint64_t bits = detail::random_bits(seed, static_cast<std::uint64_t>(step), draw);
    return static_cast<std::size_t>(detail::below(bits, available(step, samples)));
  }
  bool operator==(const pacing&) const = default;

  static constexpr const char* name = "pacing";
  static constexpr auto parameters() {
    return std::tuple(parameter{"shape", &pacing::shape},
                      parameter{"initial", &pacing::initial, value_range::above_zero_to_one},
                      parameter{"steps", &pacing::steps, value_range::at_least_one},
                      parameter{"root", &pacing::root, value_range::positive});
  }
};

constexpr std::array<const char*, 3> names_of(competence) { return {"linear", "root", "geometric"}; }

/// The samples' indices from the easiest to the hardest: by score (a loss, the teacher's entropy), ascending.
///
/// Ties: the lower index first. NaN counts as hardest. The order does not depend on anything else.
/// Throws: shape_error unless `order` has as many entries as `scores`; nothing is written then.
/// Cost: O(n log n), in place, no allocation.
template <class Score>
void difficulty_order(std::span<Score> scores, std::span<std::size_t> order) {
  static_assert(std::is_floating_point_v<std::remove_const_t<Score>>, "distill: scores are float or double");
  if (order.size() != scores.size())
    throw shape_error("difficulty_order: order has " + std::to_string(order.size()) +
                      " entries, scores has " + std::to_string(scores.size()));
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [scores](std::size_t a, std::size_t b) {
    const bool a_is_nan = std::isnan(scores[a]), b_is_nan = std::isnan(scores[b]);
    if (a_is_nan != b_is_nan) return b_is_nan;
    if (!a_is_nan && scores[a] != scores[b]) return scores[a] < scores[b];
    return a < b;
  });
}

}  // namespace distill::inline DISTILL_ABI
