#pragma once

#include <distill/curriculum/stage.hpp>

namespace distill::inline DISTILL_ABI {

/// A training plan: stages in the order they are trained.
///
/// `stages`: at least one.
/// `temperature` (> 0), `learning_rate` (>= 0, alone or as a factor on the trainer's own): where a stage
/// has none of its own, counted in steps from the beginning of training; default 1.
/// A plain value: build it, compare it, load it from JSON (`interop/json.hpp`). A `cursor` walks through
/// it.
struct curriculum {
  std::vector<stage> stages = {};
  schedule temperature = 1;
  schedule learning_rate = 1;
  bool operator==(const curriculum&) const = default;

  static constexpr auto parameters() {
    using self = curriculum;
    return std::tuple(parameter{"stages", &self::stages, value_range::any, true},
                      parameter{"temperature", &self::temperature},
                      parameter{"learning_rate", &self::learning_rate});
  }
};

/// Something wrong with a curriculum: where, and what was expected there.
/// `stages[1].loss_weight` and `must be >= 0, got -0.2`.
struct curriculum_defect {
  std::string place, what;
  bool operator==(const curriculum_defect&) const = default;
};

/// Everything that is wrong with a curriculum, in its order; nothing if a cursor can walk through it.
///
/// Besides the ranges above: names that are empty or occur twice, a mixture beside a data source, a first
/// stage that blends, a blend longer than its stage, schedules that leave the range of what they are used for
/// at some step.
std::vector<curriculum_defect> defects_of(const curriculum& plan);

/// Throws parameter_error naming all defects, if there are any.
void check(const curriculum& plan);

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/curriculum/curriculum-inl.hpp>
#endif
