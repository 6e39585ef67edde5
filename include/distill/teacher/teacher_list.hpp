#pragma once

#include <array>
#include <distill/view/as_view.hpp>
#include <distill/view/untyped_matrix.hpp>

namespace distill::inline DISTILL_ABI {

/// The logits of several teachers: at most 16 matrices of the same extents in memory that somebody else owns.
/// Containers and element types may differ. Built from the matrices, or one by one with add().
class teacher_list {
 public:
  static constexpr std::size_t capacity = 16;

  teacher_list() = default;
  template <class... Matrix>
  requires(sizeof...(Matrix) > 0 && sizeof...(Matrix) <= capacity &&
           (matrix_like<std::remove_reference_t<Matrix>> && ...)) teacher_list(Matrix&&... matrices) {
    (add(std::forward<Matrix>(matrices)), ...);
  }

  /// @throws shape_error if there are 16 already
  template <class Matrix>
  teacher_list& add(Matrix&& matrix) {
    if (size_ == capacity) throw shape_error("teacher_list: at most 16 teachers can be held");
    matrices_[size_++] = detail::input_matrix(as_view(std::forward<Matrix>(matrix)));
    return *this;
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  /// What crosses into compiled code.
  const detail::input_matrix& operator[](std::size_t i) const { return matrices_[i]; }

 private:
  std::array<detail::input_matrix, capacity> matrices_ = {};
  std::size_t size_ = 0;
};

}  // namespace distill::inline DISTILL_ABI
