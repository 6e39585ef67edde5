#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <distill/schedule/schedule.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace distill::inline DISTILL_ABI {

/// What ends a stage.
enum class length_unit { steps, tokens, epochs, metric };
/// On which side of its target a metric ends a stage.
enum class metric_goal { at_least, at_most };
/// What the schedules of a stage count.
enum class clock_unit { steps, tokens, epochs };

/// The names of an enumeration's values, in order, as JSON spells them.
constexpr std::array<const char*, 4> names_of(length_unit) { return {"steps", "tokens", "epochs", "metric"}; }
constexpr std::array<const char*, 2> names_of(metric_goal) { return {"at_least", "at_most"}; }
constexpr std::array<const char*, 3> names_of(clock_unit) { return {"steps", "tokens", "epochs"}; }

/// A name of at most 63 bytes, in place. Throws parameter_error for a longer one.
class short_name {
 public:
  static constexpr std::size_t capacity = 63;

  constexpr short_name() = default;
  constexpr short_name(const char* text) : short_name(std::string_view(text)) {}
  constexpr short_name(std::string_view text) : size_(static_cast<unsigned char>(text.size())) {
    if (text.size() > capacity) throw parameter_error("short_name: holds at most 63 bytes");
    std::copy(text.begin(), text.end(), bytes_.begin());
  }
  constexpr operator std::string_view() const { return {bytes_.data(), size_}; }
  constexpr bool empty() const { return size_ == 0; }
  bool operator==(const short_name&) const = default;

 private:
  std::array<char, capacity> bytes_ = {};
  unsigned char size_ = 0;
};

/// How long a stage lasts: so many steps, tokens or epochs, or until a metric has reached its target.
///
/// `amount` (>= 1) counts `unit`; with length_unit::metric it is the most steps the stage may take, 0 no
/// limit.
/// `metric` (at most 63 bytes), `goal`, `target` (finite): only with length_unit::metric.
// No destructor to run: g++ 12 would warn, wrongly, where a stage that holds a length is initialised.
struct stage_length {
  length_unit unit = length_unit::steps;
  std::int64_t amount = 0;
  short_name metric = {};
  metric_goal goal = metric_goal::at_least;
  double target = 0;
  bool operator==(const stage_length&) const = default;

  static constexpr auto parameters() {
    using self = stage_length;
    return std::tuple(parameter{"unit", &self::unit},
                      parameter{"amount", &self::amount, value_range::not_negative},
                      parameter{"metric", &self::metric}, parameter{"goal", &self::goal},
                      parameter{"target", &self::target});
  }
};

/// A name and its weight over time (>= 0): of a loss in the objective, of a data source in the mixture.
struct named_weight {
  std::string name = {};
  schedule weight = 1;
  bool operator==(const named_weight&) const = default;
};

/// A layer of the student, the teacher's layer it follows (0-based), and its weight over time (>= 0).
struct layer_weight {
  std::int64_t student = 0, teacher = 0;
  schedule weight = 1;
  bool operator==(const layer_weight&) const = default;

  static constexpr auto parameters() {
    using self = layer_weight;
    return std::tuple(parameter{"student", &self::student, value_range::not_negative, true},
                      parameter{"teacher", &self::teacher, value_range::not_negative, true},
                      parameter{"weight", &self::weight});
  }
};

/// One stage of a curriculum: what is trained on, with which objective, for how long.
///
/// `name`: not empty, unlike the others'.
/// `length`: must be given.
/// `data_source`: what the caller's loader reads; or `mixture`: several sources and their shares, of any
/// sum.
/// `loss_weight` (>= 0): of everything this stage trains; default 1.
/// `objectives`: which losses are active, and their weights. What is not listed has weight 0.
/// `layers`: which pairs of layers are aligned, and their weights. What is not listed has weight 0.
/// `temperature` (> 0), `learning_rate` (>= 0): in place of the curriculum's, counted from the stage's
/// beginning.
/// `clock`: what this stage's schedules count; default its steps.
/// `blend` (>= 0, in the clock's unit): how long the previous stage fades while this one begins; default
/// not at all.
struct stage {
  std::string name = {};
  stage_length length = {};
  std::string data_source = {};
  std::vector<named_weight> mixture = {};
  double loss_weight = 1;
  std::vector<named_weight> objectives = {};
  std::vector<layer_weight> layers = {};
  std::optional<schedule> temperature = {};
  std::optional<schedule> learning_rate = {};
  clock_unit clock = clock_unit::steps;
  std::int64_t blend = 0;
  bool operator==(const stage&) const = default;

  static constexpr auto parameters() {
    using self = stage;
    return std::tuple(parameter{"name", &self::name, value_range::any, true},
                      parameter{"length", &self::length, value_range::any, true},
                      parameter{"data_source", &self::data_source}, parameter{"mixture", &self::mixture},
                      parameter{"loss_weight", &self::loss_weight, value_range::not_negative},
                      parameter{"objectives", &self::objectives}, parameter{"layers", &self::layers},
                      parameter{"temperature", &self::temperature},
                      parameter{"learning_rate", &self::learning_rate}, parameter{"clock", &self::clock},
                      parameter{"blend", &self::blend, value_range::not_negative});
  }
};

}  // namespace distill::inline DISTILL_ABI
