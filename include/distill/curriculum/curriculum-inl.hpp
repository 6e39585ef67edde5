// What can be wrong with a curriculum.
#pragma once

#include <distill/curriculum/curriculum.hpp>
#include <distill/curriculum/place-inl.hpp>
#include <distill/error/parameter_text-inl.hpp>
#include <limits>
#include <map>

namespace distill::inline DISTILL_ABI {

namespace detail {

class defect_list {
 public:
  explicit defect_list(std::vector<curriculum_defect>& defects) : defects_(defects) {}

  void add(std::string place, std::string what) { defects_.push_back({std::move(place), std::move(what)}); }

  void require_name(const std::string& place, const std::string& name,
                    std::map<std::string, std::string>& seen) {
    if (name.empty()) return add(place, "must not be empty");
    const auto [first, is_new] = seen.emplace(name, place);
    if (!is_new) add(place, "must be unlike " + first->second);
  }

  /// At every step.
  void require_range(const std::string& place, const schedule& one, value_range range) {
    const value_bounds bounds = one.bounds();
    if (!(bounds.high < std::numeric_limits<double>::infinity()))
      add(place, "must stay finite, grows without end");
    if (range == value_range::positive ? bounds.low > 0 : bounds.low >= 0) return;
    const bool is_constant = bounds.low == bounds.high;
    add(place, (is_constant ? "must be " : "must stay ") + std::string(text_of(range)) +
                   (is_constant ? ", got " : ", goes down to ") + text_of(bounds.low));
  }

  template <class T>
  void require_ranges(const std::string& place, const T& value) {
    check_ranges(value, [&](std::string_view name, std::string_view expected, double got) {
      add(place_of(place, name), "must be " + std::string(expected) + ", got " + text_of(got));
    });
  }

  void check(const std::string& place, const stage_length& length) {
    require_ranges(place, length);
    if (length.unit == length_unit::metric) {
      if (length.metric.empty()) add(place + ".metric", "must be the name of a metric");
      return;
    }
    if (length.amount == 0) add(place + ".amount", "must be >= 1, got 0");
    if (!length.metric.empty()) add(place + ".metric", "must be left out unless unit is metric");
  }

  void check(const std::string& place, const std::vector<named_weight>& weights) {
    std::map<std::string, std::string> seen;
    for (const named_weight& one : weights) {
      const std::string here = place_of(place, one.name);
      require_name(here, one.name, seen);
      require_range(here, one.weight, value_range::not_negative);
    }
  }

  void check(const std::string& place, const std::vector<layer_weight>& layers) {
    std::map<std::pair<std::int64_t, std::int64_t>, std::string> seen;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const std::string here = place_of(place, i);
      require_ranges(here, layers[i]);
      require_range(here + ".weight", layers[i].weight, value_range::not_negative);
      const auto [first, is_new] = seen.emplace(std::pair{layers[i].student, layers[i].teacher}, here);
      if (!is_new) add(here, "must be unlike " + first->second);
    }
  }

  void check_blend(const std::string& place, const stage& one, bool is_first) {
    if (is_first && one.blend > 0) add(place, "must be 0, the first stage follows nothing");
    const bool is_same_unit = static_cast<int>(one.length.unit) == static_cast<int>(one.clock);
    if (is_same_unit && one.length.amount > 0 && one.blend > one.length.amount)
      add(place, "must be at most the stage's length of " + std::to_string(one.length.amount) + ", got " +
                     std::to_string(one.blend));
  }

  void check(const std::string& place, const stage& one, bool is_first) {
    check(place + ".length", one.length);
    require_ranges(place, one);
    check(place + ".mixture", one.mixture);
    if (!one.mixture.empty() && !one.data_source.empty())
      add(place + ".data_source", "must be left out where there is a mixture");
    check(place + ".objectives", one.objectives);
    check(place + ".layers", one.layers);
    if (one.temperature) require_range(place + ".temperature", *one.temperature, value_range::positive);
    if (one.learning_rate)
      require_range(place + ".learning_rate", *one.learning_rate, value_range::not_negative);
    check_blend(place + ".blend", one, is_first);
  }

 private:
  std::vector<curriculum_defect>& defects_;
};

}  // namespace detail

DISTILL_INLINE std::vector<curriculum_defect> defects_of(const curriculum& plan) {
  std::vector<curriculum_defect> defects;
  detail::defect_list list(defects);
  list.require_range("temperature", plan.temperature, value_range::positive);
  list.require_range("learning_rate", plan.learning_rate, value_range::not_negative);
  if (plan.stages.empty()) list.add("stages", "must not be empty");
  std::map<std::string, std::string> names;
  for (std::size_t i = 0; i < plan.stages.size(); ++i) {
    const std::string place = detail::place_of("stages", i);
    list.require_name(place + ".name", plan.stages[i].name, names);
    list.check(place, plan.stages[i], i == 0);
  }
  return defects;
}

DISTILL_INLINE void check(const curriculum& plan) {
  const std::vector<curriculum_defect> defects = defects_of(plan);
  if (defects.empty()) return;
  std::string text = "curriculum: ";
  for (const curriculum_defect& one : defects)
    text += (&one == defects.data() ? "" : "\n") + one.place + ": " + one.what;
  throw parameter_error(text);
}

}  // namespace distill::inline DISTILL_ABI
