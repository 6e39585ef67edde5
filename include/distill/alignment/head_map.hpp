#pragma once

#include <cstddef>
#include <distill/error/error.hpp>
#include <utility>
#include <vector>

namespace distill::inline DISTILL_ABI {

/// Which teacher heads a student head learns from. A student head with several of them has the mean of the
/// losses against each: for attention_kl and attention_mse the gradient is the one against the mean of their
/// maps.
///
/// Throws, when the loss is called: shape_error if the numbers of heads do not fit the rule.
class head_map {
 public:
  /// Student head h from teacher head h.
  head_map() = default;
  static head_map one_to_one() { return {}; }
  /// The teacher has g times as many heads: student head h from the mean over teacher heads [h g, (h + 1) g).
  static head_map mean() { return head_map(rule::mean); }
  /// The student has g times as many heads: student head h from teacher head h / g, as grouped queries share
  /// keys.
  static head_map shared() { return head_map(rule::shared); }
  /// Student head h from teacher head `teacher_heads[h]`.
  static head_map selection(const std::vector<std::size_t>& teacher_heads) {
    head_map map(rule::listed);
    for (const std::size_t head : teacher_heads) map.append({head});
    return map;
  }
  /// Student head h from the mean over `teacher_heads[h]`, at least one each.
  /// @throws parameter_error for a student head without teacher heads
  static head_map of(const std::vector<std::vector<std::size_t>>& teacher_heads) {
    head_map map(rule::listed);
    for (const auto& heads : teacher_heads) map.append(heads);
    return map;
  }

  /// How many teacher heads a student head has.
  std::size_t count(std::size_t student_head, std::size_t student_heads, std::size_t teacher_heads) const {
    if (rule_ == rule::listed) return begins_[student_head + 1] - begins_[student_head];
    return rule_ == rule::mean ? teacher_heads / student_heads : 1;
  }
  /// The i-th of them.
  std::size_t teacher_head(std::size_t student_head, std::size_t i, std::size_t student_heads,
                           std::size_t teacher_heads) const {
    switch (rule_) {
      case rule::mean:
        return student_head * (teacher_heads / student_heads) + i;
      case rule::shared:
        return student_head / (student_heads / teacher_heads);
      case rule::listed:
        return heads_[begins_[student_head] + i];
      default:
        return student_head;
    }
  }

  /// Whether these numbers of heads fit the rule. `name` begins the message.
  /// @throws shape_error if they do not
  void require(const std::string& name, std::size_t student_heads, std::size_t teacher_heads) const {
    const auto numbers = [&] {
      return name + ": student has " + std::to_string(student_heads) + " heads, teacher has " +
             std::to_string(teacher_heads) + " heads";
    };
    if (rule_ == rule::one_to_one && student_heads != teacher_heads)
      throw shape_error(numbers() + "; say with a head_map which teacher heads a student head learns from");
    if (rule_ == rule::mean && teacher_heads % student_heads != 0)
      throw shape_error(numbers() + ", which is not a multiple as head_map::mean needs");
    if (rule_ == rule::shared && student_heads % teacher_heads != 0)
      throw shape_error(numbers() + ", which does not divide them as head_map::shared needs");
    if (rule_ != rule::listed) return;
    if (begins_.size() != student_heads + 1)
      throw shape_error(name + ": the head_map lists " + std::to_string(begins_.size() - 1) +
                        " student heads, student has " + std::to_string(student_heads));
    for (std::size_t head = 0; head < student_heads; ++head)
      for (std::size_t i = begins_[head]; i < begins_[head + 1]; ++i)
        if (heads_[i] >= teacher_heads)
          throw shape_error(name + ": the head_map gives student head " + std::to_string(head) +
                            " teacher head " + std::to_string(heads_[i]) + ", teacher has " +
                            std::to_string(teacher_heads) + " heads");
  }

  bool operator==(const head_map&) const = default;

 private:
  enum class rule { one_to_one, mean, shared, listed };

  explicit head_map(rule r) : rule_(r) {
    if (r == rule::listed) begins_ = {0};
  }
  void append(const std::vector<std::size_t>& heads) {
    if (heads.empty())
      throw parameter_error("head_map: student head " + std::to_string(begins_.size() - 1) +
                            " has no teacher head");
    heads_.insert(heads_.end(), heads.begin(), heads.end());
    begins_.push_back(heads_.size());
  }

  rule rule_ = rule::one_to_one;
  std::vector<std::size_t> heads_,
      begins_;  // listed: heads of student head h are [begins_[h], begins_[h + 1])
};

}  // namespace distill::inline DISTILL_ABI
