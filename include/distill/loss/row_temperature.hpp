#pragma once

#include <concepts>
#include <distill/view/matrix_like.hpp>
#include <distill/view/vector_view.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

/// A run of floats that is still there when the expression naming it has ended.
template <class X>
concept lasting_floats = std::constructible_from<vector_view<const float>, X> &&
    (std::is_lvalue_reference_v<X> || std::ranges::borrowed_range<X> ||
     requires(X & x) { x.data_handle(); } || (eigen_like<X> && !owns_elements<X>()));

}  // namespace detail

/// The temperature of a loss: one number for all rows, or one for each.
///
/// `forward_kl{.temperature = 4}` and `forward_kl{.temperature = per_row}`, where per_row is a vector_view,
/// any named contiguous range, or an Eigen-like vector, of float, [rows]. It is a view: the memory must
/// outlive the loss, and temporaries that own theirs do not convert. Every number must be finite and > 0,
/// except in rows that do not count, which may hold anything.
class row_temperature {
 public:
  constexpr row_temperature(double number = 1) : number_(number) {}
  template <class X>
  requires(!std::same_as<std::remove_cvref_t<X>, row_temperature> &&
           detail::lasting_floats<X>) constexpr row_temperature(X&& rows)
      : rows_(rows), is_per_row_(true) {}

  constexpr bool is_per_row() const { return is_per_row_; }
  /// For all rows; of no meaning where each has its own.
  constexpr double number() const { return number_; }
  /// [rows], or empty.
  constexpr vector_view<const float> rows() const { return rows_; }
  constexpr double operator[](std::size_t row) const {
    return is_per_row_ ? static_cast<double>(rows_[row]) : number_;
  }

  /// The same number, or the same memory.
  constexpr bool operator==(const row_temperature& other) const {
    return is_per_row_ == other.is_per_row_ && number_ == other.number_ &&
           rows_.data_handle() == other.rows_.data_handle() && rows_.size() == other.rows_.size() &&
           rows_.stride() == other.rows_.stride();
  }

 private:
  double number_ = 1;
  vector_view<const float> rows_ = {};
  bool is_per_row_ = false;
};

}  // namespace distill::inline DISTILL_ABI
