#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <distill/curriculum/counter_random.hpp>
#include <distill/schedule/parameter.hpp>
#include <distill/view/as_view.hpp>
#include <numbers>

namespace distill::inline DISTILL_ABI {

/// What an augmentation is drawn from: the same key gives the same rows, whoever holds them and in whatever
/// batches. `first_row`: the number of the batch's first row among all rows of the step.
struct augmentation_key {
  std::uint64_t seed = 0;
  std::int64_t step = 0, first_row = 0;
  bool operator==(const augmentation_key&) const = default;
};

namespace detail {

/// The rows to augment, as a view that can be written.
template <class Rows>
auto rows_to_augment(const char* name, Rows&& rows) {
  const auto view = as_view(std::forward<Rows>(rows));
  using element = std::remove_reference_t<decltype(view(0, 0))>;
  static_assert(std::is_same_v<element, float> || std::is_same_v<element, double>,
                "distill: rows to augment are float or double, and writable");
  if (view.data_handle() == nullptr && view.rows() * view.columns() > 0)
    throw layout_error(std::string(name) + ": rows has no memory");
  return view;
}

/// The random bits of one row; `salt` tells the augmentations apart.
inline std::uint64_t row_bits(const augmentation_key& key, std::size_t row, std::uint64_t salt,
                              std::uint64_t index) {
  const std::uint64_t number = static_cast<std::uint64_t>(key.first_row) + row;
  return random_bits(key.seed ^ salt << 56, static_cast<std::uint64_t>(key.step), number, index);
}

}  // namespace detail

/// Relative jitter: every element times 1 + amount u, u uniform in [-1, 1). Default: amounts of money within
/// 5 %.
///
/// Shapes: [rows, columns], float or double, any strides, changed in place.
/// Options: `amount` (>= 0).
/// Throws: parameter_error, layout_error, before anything is written.
/// Cost: one pass, some ten multiplications an element, no allocation.
/// Threads: batches apart may run at once.
struct relative_jitter {
  double amount = 0.05;

  template <class Rows>
  void operator()(Rows&& rows, const augmentation_key& key) const {
    detail::require_valid(*this, key.step);
    const auto view = detail::rows_to_augment(name, std::forward<Rows>(rows));
    for (std::size_t row = 0; row < view.rows(); ++row)
      for (std::size_t column = 0; column < view.columns(); ++column) {
        const double u = 2 * detail::unit_interval(detail::row_bits(key, row, 1, column)) - 1;
        view(row, column) *= static_cast<std::remove_cvref_t<decltype(view(0, 0))>>(1 + amount * u);
      }
  }
  bool operator==(const relative_jitter&) const = default;

  static constexpr const char* name = "relative_jitter";
  static constexpr auto parameters() {
    return std::tuple(parameter{"amount", &relative_jitter::amount, value_range::not_negative});
  }
};

/// Frequency bursts in time series: a short oscillation, somewhere in a row.
///
/// Row, with probability `chance`: x_j += amplitude rms sin²(π (j - b + 1/2) / length) sin(2π f (j - b) +
/// φ) for j in [b, b + length); rms is the row's own; b, f in [lowest, highest) and φ are uniform. A row
/// shorter than `length` is one burst.
/// Options: `amplitude` (>= 0); `lowest`, `highest` (in [0, 1/2], lowest <= highest), cycles per column;
/// `length` (>= 1), columns; `chance` (in [0, 1]).
/// Shapes, throws, cost, threads: as relative_jitter; two passes.
struct frequency_burst {
  double amplitude = 0.1, lowest = 0.05, highest = 0.25;
  std::int64_t length = 32;
  double chance = 1;

  template <class Rows>
  void operator()(Rows&& rows, const augmentation_key& key) const {
    detail::require_valid(*this, key.step);
    const auto view = detail::rows_to_augment(name, std::forward<Rows>(rows));
    for (std::size_t row = 0; row < view.rows(); ++row) {
      const auto unit = [&](std::uint64_t i) {
        return detail::unit_interval(detail::row_bits(key, row, 2, i));
      };
      if (view.columns() == 0 || !(unit(0) < chance)) continue;
      const std::size_t width = std::min(static_cast<std::size_t>(length), view.columns());
      const std::size_t begin = detail::below(detail::row_bits(key, row, 2, 1), view.columns() - width + 1);
      const double frequency = std::lerp(lowest, highest, unit(2)), phase = 2 * std::numbers::pi * unit(3);
      double squares = 0;
      for (std::size_t column = 0; column < view.columns(); ++column)
        squares += static_cast<double>(view(row, column)) * static_cast<double>(view(row, column));
      const double size = amplitude * std::sqrt(squares / static_cast<double>(view.columns()));
      for (std::size_t i = 0; i < width; ++i) {
        const double window =
            std::sin(std::numbers::pi * (static_cast<double>(i) + 0.5) / static_cast<double>(width));
        const double wave = std::sin(2 * std::numbers::pi * frequency * static_cast<double>(i) + phase);
        view(row, begin + i) +=
            static_cast<std::remove_cvref_t<decltype(view(0, 0))>>(size * window * window * wave);
      }
    }
  }
  bool operator==(const frequency_burst&) const = default;

  static constexpr const char* name = "frequency_burst";
  static constexpr auto parameters() {
    using self = frequency_burst;
    return std::tuple(parameter{"amplitude", &self::amplitude, value_range::not_negative},
                      parameter{"lowest", &self::lowest, value_range::not_negative},
                      parameter{"highest", &self::highest, value_range::not_negative},
                      parameter{"length", &self::length, value_range::at_least_one},
                      parameter{"chance", &self::chance, value_range::zero_to_one});
  }
  /// What concerns more than one number, or a range of its own.
  template <class Report>
  void check_together(Report&& report) const {
    if (!(highest >= lowest && highest <= 0.5)) report("highest", "in [lowest, 0.5]", highest);
  }
};

/// What a shifted row has where nothing moved in.
enum class shift_fill { edge, zero, wrap };

/// Time shift: every row moved by a whole number of columns, uniform in [-most, most].
///
/// Options: `most` (>= 0); `fill`: the nearest element (edge), 0, or what moved out at the other end (wrap).
/// Shapes, throws, cost, threads: as relative_jitter; at most two passes.
struct time_shift {
  std::int64_t most = 8;
  shift_fill fill = shift_fill::edge;

  /// The shift of a row, > 0 to the right.
  std::int64_t shift_of(std::size_t row, const augmentation_key& key) const {
    detail::require_valid(*this, key.step);
    const std::uint64_t choices = 2 * static_cast<std::uint64_t>(most) + 1;
    return static_cast<std::int64_t>(detail::below(detail::row_bits(key, row, 3, 0), choices)) - most;
  }

  template <class Rows>
  void operator()(Rows&& rows, const augmentation_key& key) const {
    detail::require_valid(*this, key.step);
    const auto view = detail::rows_to_augment(name, std::forward<Rows>(rows));
    for (std::size_t row = 0; row < view.rows() && view.columns() > 0; ++row)
      move(view, row, shift_of(row, key));
  }
  bool operator==(const time_shift&) const = default;

  static constexpr const char* name = "time_shift";
  static constexpr auto parameters() {
    return std::tuple(parameter{"most", &time_shift::most, value_range::not_negative},
                      parameter{"fill", &time_shift::fill});
  }
  /// A range of its own.
  template <class Report>
  void check_together(Report&& report) const {
    if (most > std::int64_t{1} << 40) report("most", "at most 2^40", static_cast<double>(most));
  }

 private:
  template <class View>
  void move(const View& view, std::size_t row, std::int64_t shift) const {
    const auto columns = static_cast<std::int64_t>(view.columns());
    const auto at = [&](std::int64_t column) -> auto& { return view(row, static_cast<std::size_t>(column)); };
    if (fill == shift_fill::wrap) return rotate(at, columns, (shift % columns + columns) % columns);
    const auto first = at(0), last = at(columns - 1);
    // Away from where it moves to, so that nothing is overwritten before it has moved.
    for (std::int64_t i = 0; i < columns; ++i) {
      const std::int64_t to = shift > 0 ? columns - 1 - i : i, from = to - shift;
      const bool is_inside = from >= 0 && from < columns;
      at(to) = is_inside ? at(from) : fill == shift_fill::zero ? 0 : from < 0 ? first : last;
    }
  }

  /// Three reversals.
  template <class At>
  static void rotate(const At& at, std::int64_t columns, std::int64_t shift) {
    const auto reverse = [&](std::int64_t begin, std::int64_t end) {
      for (; begin < --end; ++begin) std::swap(at(begin), at(end));
    };
    reverse(0, columns);
    reverse(0, shift);
    reverse(shift, columns);
  }
};

constexpr std::array<const char*, 3> names_of(shift_fill) { return {"edge", "zero", "wrap"}; }

/// Masking: a fixed share of each row's columns, in blocks, set to one value.
///
/// The row is cut into blocks of `block` columns, the last one perhaps shorter; exactly round(share *
/// blocks) of them, each as likely as the others, are set.
/// Options: `share` (in [0, 1]); `block` (>= 1); `value` (finite).
/// Shapes, throws, cost, threads: as relative_jitter; touches what it sets.
struct masking {
  double share = 0.15;
  std::int64_t block = 1;
  double value = 0;

  template <class Rows>
  void operator()(Rows&& rows, const augmentation_key& key) const {
    detail::require_valid(*this, key.step);
    const auto view = detail::rows_to_augment(name, std::forward<Rows>(rows));
    const auto width = static_cast<std::size_t>(block);
    const std::size_t blocks = view.columns() / width + (view.columns() % width != 0);
    const auto chosen = static_cast<std::size_t>(std::llround(share * static_cast<double>(blocks)));
    for (std::size_t row = 0; row < view.rows(); ++row)
      for (std::size_t i = 0; i < chosen; ++i) {
        const std::size_t begin = detail::permuted(i, blocks, detail::row_bits(key, row, 4, 0)) * width;
        const std::size_t end = std::min(view.columns() - begin, width) + begin;
        for (std::size_t column = begin; column < end; ++column)
          view(row, column) = static_cast<std::remove_cvref_t<decltype(view(0, 0))>>(value);
      }
  }
  bool operator==(const masking&) const = default;

  static constexpr const char* name = "masking";
  static constexpr auto parameters() {
    return std::tuple(parameter{"share", &masking::share, value_range::zero_to_one},
                      parameter{"block", &masking::block, value_range::at_least_one},
                      parameter{"value", &masking::value});
  }
};

}  // namespace distill::inline DISTILL_ABI
