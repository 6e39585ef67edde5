#pragma once

#include <cstddef>
#include <distill/error/error.hpp>
#include <optional>
#include <utility>
#include <vector>

namespace distill::inline DISTILL_ABI {

/// Which teacher layer each student layer learns from, layers counted from 0: `map[i]` for i in [0, size()).
///
/// Throws, when it is made: parameter_error naming the student layer that has no teacher layer, has two, or
/// has one outside the teacher.
class layer_map {
 public:
  struct link {
    std::size_t student, teacher;
    bool operator==(const link&) const = default;
  };

  /// Layer i from (i + 1) L / M - 1, the last from the last; M student layers, L >= M teacher layers.
  /// Source: Jiao et al. 2020, arXiv 1909.10351, section 4.2.
  static layer_map uniform(std::size_t student_layers, std::size_t teacher_layers) {
    require_enough("uniform", student_layers, teacher_layers);
    return generate(student_layers, teacher_layers,
                    [&](std::size_t i) { return (i + 1) * teacher_layers / student_layers - 1; });
  }
  /// The last M layers of the teacher, in order. Source: Sun et al. 2019, arXiv 1908.09355 ("PKD-last").
  static layer_map last(std::size_t student_layers, std::size_t teacher_layers) {
    require_enough("last", student_layers, teacher_layers);
    return generate(student_layers, teacher_layers,
                    [&](std::size_t i) { return teacher_layers - student_layers + i; });
  }
  /// Layer i from `first` + i `step`.
  static layer_map skip(std::size_t student_layers, std::size_t teacher_layers, std::size_t step,
                        std::size_t first = 0) {
    if (step == 0) throw parameter_error("layer_map::skip: step must be > 0, got 0");
    return generate(student_layers, teacher_layers, [&](std::size_t i) { return first + i * step; });
  }
  /// The first from the first, the last from the last, the others evenly between, rounded to the nearest; a
  /// single layer from the last.
  static layer_map first_last(std::size_t student_layers, std::size_t teacher_layers) {
    require_enough("first_last", student_layers, teacher_layers);
    return generate(student_layers, teacher_layers, [&](std::size_t i) {
      if (student_layers == 1) return teacher_layers - 1;
      const std::size_t gaps = student_layers - 1;
      return (i * (teacher_layers - 1) + gaps / 2) / gaps;
    });
  }
  /// As listed, in any order: every student layer once.
  static layer_map of(std::size_t student_layers, std::size_t teacher_layers,
                      const std::vector<link>& links) {
    std::vector<std::optional<std::size_t>> found(student_layers);
    for (const link& each : links) {
      if (each.student >= student_layers)
        throw parameter_error("layer_map: student layer " + std::to_string(each.student) +
                              " does not exist, student has " + std::to_string(student_layers) + " layers");
      if (found[each.student])
        throw parameter_error("layer_map: student layer " + std::to_string(each.student) +
                              " is mapped twice, to " + std::to_string(*found[each.student]) + " and " +
                              std::to_string(each.teacher));
      found[each.student] = each.teacher;
    }
    for (std::size_t i = 0; i < student_layers; ++i)
      if (!found[i])
        throw parameter_error("layer_map: student layer " + std::to_string(i) + " is not mapped");
    return generate(student_layers, teacher_layers, [&](std::size_t i) { return *found[i]; });
  }

  std::size_t size() const { return teacher_.size(); }
  std::size_t operator[](std::size_t student_layer) const { return teacher_[student_layer]; }
  auto begin() const { return teacher_.begin(); }
  auto end() const { return teacher_.end(); }
  bool operator==(const layer_map&) const = default;

 private:
  static void require_enough(const std::string& rule, std::size_t student_layers,
                             std::size_t teacher_layers) {
    if (student_layers > teacher_layers)
      throw parameter_error("layer_map::" + rule + ": student has " + std::to_string(student_layers) +
                            " layers, teacher has only " + std::to_string(teacher_layers));
  }
  template <class F>
  static layer_map generate(std::size_t student_layers, std::size_t teacher_layers, F teacher_of) {
    if (student_layers == 0) throw parameter_error("layer_map: student has 0 layers");
    layer_map map;
    for (std::size_t i = 0; i < student_layers; ++i) {
      map.teacher_.push_back(teacher_of(i));
      if (map.teacher_.back() >= teacher_layers)
        throw parameter_error("layer_map: student layer " + std::to_string(i) +
                              " is mapped to teacher layer " + std::to_string(map.teacher_.back()) +
                              ", teacher has " + std::to_string(teacher_layers) + " layers");
    }
    return map;
  }

  std::vector<std::size_t> teacher_;
};

}  // namespace distill::inline DISTILL_ABI
