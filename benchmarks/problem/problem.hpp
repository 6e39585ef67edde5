#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <vector>

namespace benchmarks {

enum class storage_order { rows, columns };

/// independent: student and teacher are two draws of N(0, 3^2); near_equal: student = teacher + N(0, 0.05^2).
enum class data_set { independent, near_equal };

struct shape {
  std::size_t rows;
  std::size_t columns;
  storage_order order = storage_order::rows;

  std::size_t elements() const { return rows * columns; }
  std::size_t row_stride() const { return order == storage_order::rows ? columns : 1; }
  std::size_t column_stride() const { return order == storage_order::rows ? 1 : rows; }
  friend bool operator==(const shape&, const shape&) = default;
};

/// "256x32000", or "4096x10-columns" where columns are contiguous.
std::string to_string(const shape& extent);

/// The first rows of a shape, as many as fit in `elements`, two at least.
shape first_rows(const shape& extent, std::size_t elements);

/// The storage of a bfloat16, owned by nobody's library.
enum class bfloat16_bits : std::uint16_t {};
float to_float(bfloat16_bits value);
inline float to_float(float value) { return value; }
template <class Element>
Element from_float(float value);

template <class Element>
struct cache_line_allocator {
  using value_type = Element;
  static constexpr std::align_val_t alignment{64};
  cache_line_allocator() = default;
  template <class Other>
  explicit cache_line_allocator(const cache_line_allocator<Other>&) {}
  Element* allocate(std::size_t count) {
    return static_cast<Element*>(::operator new(count * sizeof(Element), alignment));
  }
  void deallocate(Element* address, std::size_t) { ::operator delete(address, alignment); }
  friend bool operator==(const cache_line_allocator&, const cache_line_allocator&) { return true; }
};

template <class Element>
using aligned_vector = std::vector<Element, cache_line_allocator<Element>>;

/// What every contender of a task works on. `output` receives the gradient, the probabilities or, in its
/// first `rows` entries, one number per row. All of it has been written once, so no timing meets a page
/// fault.
template <class Element>
struct problem {
  problem(const shape& extent, data_set data);

  shape extent;
  data_set data;
  aligned_vector<Element> student;
  aligned_vector<Element> teacher;
  aligned_vector<Element> output;
  std::vector<std::int64_t> labels;
};

}  // namespace benchmarks
