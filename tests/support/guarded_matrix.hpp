#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <distill/view/matrix_view.hpp>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <vector>

#include "support/oracle.hpp"

namespace support {

enum class layout {
  compact,         // row-major
  padded_rows,     // row-major, a gap after each row
  column_major,    // Eigen's default
  padded_columns,  // column-major, a gap after each column
  every_third,     // row-major, classes three apart
  reversed_rows    // row-major, the last row first in memory
};

inline const char* name_of(layout how) {
  constexpr const char* names[] = {"compact",        "padded_rows", "column_major",
                                   "padded_columns", "every_third", "reversed_rows"};
  return names[static_cast<int>(how)];
}

template <class T>
double to_double(T value) {
  if constexpr (sizeof(T) == 2)
    return static_cast<double>(static_cast<float>(value));
  else
    return static_cast<double>(value);
}
template <class T>
T from_double(double value) {
  if constexpr (sizeof(T) == 2)
    return T(static_cast<float>(value));
  else
    return static_cast<T>(value);
}

/// A matrix in memory where every byte that is not an element is 0xff, which is NaN in every element type:
/// reading it spoils an answer, and writing it is found by is_intact().
template <class T>
class guarded_matrix {
 public:
  /// `offset`: elements from the 64-byte boundary to the first element.
  guarded_matrix(std::size_t rows, std::size_t classes, layout how = layout::compact, std::size_t offset = 0)
      : rows_(rows), classes_(classes) {
    const auto r = static_cast<std::ptrdiff_t>(rows), c = static_cast<std::ptrdiff_t>(classes);
    switch (how) {
      case layout::compact:
        row_stride_ = c, column_stride_ = 1;
        break;
      case layout::padded_rows:
        row_stride_ = c + 5, column_stride_ = 1;
        break;
      case layout::column_major:
        row_stride_ = 1, column_stride_ = r;
        break;
      case layout::padded_columns:
        row_stride_ = 1, column_stride_ = r + 3;
        break;
      case layout::every_third:
        row_stride_ = 3 * c + 1, column_stride_ = 3;
        break;
      case layout::reversed_rows:
        row_stride_ = -(c + 2), column_stride_ = 1;
        break;
    }
    const auto span = std::abs(row_stride_) * (r - 1) + column_stride_ * (c - 1) + 1;
    elements_ = static_cast<std::size_t>(span) + 2 * guard + offset;
    memory_.reset(static_cast<T*>(::operator new (elements_ * sizeof(T), std::align_val_t{64})));
    std::memset(static_cast<void*>(memory_.get()), 0xff, elements_ * sizeof(T));
    origin_ = memory_.get() + guard + offset + (row_stride_ < 0 ? -row_stride_ * (r - 1) : 0);
  }
  guarded_matrix(std::size_t rows, const std::vector<double>& values, layout how = layout::compact,
                 std::size_t offset = 0)
      : guarded_matrix(rows, values.size() / rows, how, offset) {
    set(values);
  }

  distill::matrix_view<T> view() { return {origin_, rows_, classes_, row_stride_, column_stride_}; }
  distill::matrix_view<const T> view() const {
    return {origin_, rows_, classes_, row_stride_, column_stride_};
  }
  T& operator()(std::size_t row, std::size_t c) { return view()(row, c); }
  double at(std::size_t row, std::size_t c) const { return to_double(view()(row, c)); }
  std::size_t rows() const { return rows_; }
  std::size_t classes() const { return classes_; }

  void set(const std::vector<double>& values) {
    for (std::size_t i = 0; i < values.size(); ++i)
      (*this)(i / classes_, i % classes_) = from_double<T>(values[i]);
  }
  void fill(double value) { set(std::vector<double>(rows_ * classes_, value)); }

  oracle::matrix exact() const {
    oracle::matrix result(rows_, classes_);
    for (std::size_t i = 0; i < result.values.size(); ++i) result.values[i] = at(i / classes_, i % classes_);
    return result;
  }
  /// The elements' bits in row-major order.
  std::vector<unsigned char> bits() const {
    std::vector<unsigned char> result(rows_ * classes_ * sizeof(T));
    for (std::size_t i = 0; i < rows_ * classes_; ++i)
      std::memcpy(result.data() + i * sizeof(T), &view()(i / classes_, i % classes_), sizeof(T));
    return result;
  }

  /// Whether every byte outside the elements is as it was.
  bool is_intact() const {
    std::vector<bool> is_element(elements_, false);
    for (std::size_t i = 0; i < rows_ * classes_; ++i)
      is_element[static_cast<std::size_t>(&view()(i / classes_, i % classes_) - memory_.get())] = true;
    for (std::size_t i = 0; i < elements_; ++i) {
      if (is_element[i]) continue;
      unsigned char bytes[sizeof(T)];
      std::memcpy(bytes, memory_.get() + i, sizeof(T));
      for (unsigned char byte : bytes)
        if (byte != 0xff) return false;
    }
    return true;
  }

 private:
  struct aligned_delete {
    void operator()(T* memory) const { ::operator delete (memory, std::align_val_t{64}); }
  };
  static constexpr std::size_t guard = 64;

  std::size_t rows_, classes_, elements_ = 0;
  std::ptrdiff_t row_stride_ = 0, column_stride_ = 0;
  std::unique_ptr<T, aligned_delete> memory_;
  T* origin_ = nullptr;
};

}  // namespace support
