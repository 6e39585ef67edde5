#pragma once

#include <distill/curriculum/curriculum.hpp>
#include <string_view>

namespace distill::inline DISTILL_ABI {

/// Where training stands: all that a cursor remembers. Plain numbers, trivially copyable; save them anywhere.
struct cursor_state {
  std::int64_t stage = 0;  // index; the number of stages when the curriculum is finished
  std::int64_t stage_steps = 0, stage_tokens = 0, stage_epochs = 0;  // since the stage began
  std::int64_t steps = 0, tokens = 0, epochs = 0;                    // since training began
  std::int64_t previous_stage = -1;                                  // the stage that fades, -1 none
  std::int64_t previous_clock = 0;                                   // where its schedules stopped
  bool operator==(const cursor_state&) const = default;

  static constexpr const char* name = "cursor_state";
  static constexpr auto parameters() {
    using self = cursor_state;
    constexpr value_range count = value_range::not_negative;
    return std::tuple(
        parameter{"stage", &self::stage, count}, parameter{"stage_steps", &self::stage_steps, count},
        parameter{"stage_tokens", &self::stage_tokens, count},
        parameter{"stage_epochs", &self::stage_epochs, count}, parameter{"steps", &self::steps, count},
        parameter{"tokens", &self::tokens, count}, parameter{"epochs", &self::epochs, count},
        parameter{"previous_stage", &self::previous_stage},
        parameter{"previous_clock", &self::previous_clock, count});
  }
};

/// A name and its weight now. The name lives in the cursor's plan.
struct current_weight {
  std::string_view name;
  double weight = 0;
  bool operator==(const current_weight&) const = default;
};

/// Walks through a curriculum: which stage, temperature, learning rate and weights hold now, and what comes
/// next.
///
/// Ask, train one step, `advance`; `finish_epoch` at the end of an epoch; `report` after an evaluation.
/// Values: those of the stage's schedules at the stage's clock, which is 0 in its first step. In the first
/// `blend` steps (or tokens, epochs) the previous stage fades: value = old + (new - old) (clock + 1) /
/// (blend + 1), old being the previous stage's value where it stopped; a weight that is missing on one side
/// is 0 there.
/// A stage ends with the step, token, epoch or report that fills it; nothing of that step is carried over.
/// An epoch counts for the stage that its last step was in: call `finish_epoch` after that step's `advance`.
/// When finished: the last stage's values where it stopped; further steps are not counted.
/// Throws: parameter_error from the constructor for a plan with defects, from `restore` for a state that
/// the plan cannot be in, and for negative counts; the cursor is then as before.
/// Cost: asking looks at two stages, whatever their number, and searches their names; `seek` is O(log
/// stages); `advance` is O(1 + stages that end). Only `objectives` and `sources` allocate.
/// Threads: const members may be called at the same time.
class cursor {
 public:
  explicit cursor(curriculum plan);
  /// In the middle of it, as saved. `restore` with the same state later does the same.
  cursor(curriculum plan, const cursor_state& saved);
  void restore(const cursor_state& saved);
  const cursor_state& state() const { return state_; }
  const curriculum& plan() const { return plan_; }

  bool finished() const { return stage_index() == plan_.stages.size(); }
  /// The number of stages when finished.
  std::size_t stage_index() const { return static_cast<std::size_t>(state_.stage); }
  /// The last stage when finished.
  const stage& current_stage() const { return plan_.stages[now().stage]; }

  double temperature() const;
  double learning_rate() const;
  double loss_weight() const;
  /// 0 for a loss that is not active.
  double objective_weight(std::string_view name) const;
  /// Between 0 and 1; all shares sum to 1 unless all are 0. A stage without a mixture has all of its
  /// data_source.
  double source_share(std::string_view name) const;
  /// 0 for layers that are not active.
  double layer_weight(std::int64_t student, std::int64_t teacher) const;
  /// Every name of the stage, and of the one that fades, with its weight or share.
  std::vector<current_weight> objectives() const;
  std::vector<current_weight> sources() const;

  /// As many steps, each of as many tokens; the same as that many calls with one. Returns how many stages
  /// ended.
  std::size_t advance(std::int64_t steps = 1, std::int64_t tokens_per_step = 0);
  /// The end of an epoch. Returns whether it ended the stage. A stage that has begun with the epoch's last
  /// step, or later, does not count it; where steps are not counted at all, every epoch counts.
  bool finish_epoch();
  /// A metric's value. Returns whether it ended the stage; NaN and metrics that the stage does not wait for
  /// never do.
  bool report(std::string_view metric, double value);

  /// Ends the stage now.
  void skip_stage();
  /// Begins the stage again. What was trained stays in the counts of the whole training; nothing fades.
  void repeat_stage();
  /// Begins again so many stages before this one, in the same way.
  void roll_back(std::int64_t stages = 1);
  /// Where a cursor is after so many steps from the beginning, without tokens and epochs. The stages before
  /// must be counted in steps.
  void seek(std::int64_t step);

 private:
  struct position {
    std::size_t stage;
    std::int64_t clock;
  };

  position now() const;
  std::int64_t clock_of(const stage& one) const;
  void enter(std::int64_t next);
  bool end_if_full();
  template <class F>
  double blended(F&& value_at) const;
  double share_in(const position& where, std::string_view name) const;
  template <class Names, class Weight>
  std::vector<current_weight> list(Names&& names, Weight&& weight) const;

  curriculum plan_;
  std::vector<std::int64_t> ends_;  // of the leading stages counted in steps
  cursor_state state_;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/curriculum/cursor-inl.hpp>
#endif
