#pragma once

#include <distill/numeric/softmax_options.hpp>
#include <distill/view/vector_view.hpp>
#include <distill/view/written_to.hpp>

namespace distill::inline DISTILL_ABI::detail {

enum class softmax_kind {
  softmax,
  log_softmax,
  log_sum_exp,
  log_sum_exp_backward,
  softmax_backward,
  log_softmax_backward
};

/// Which scratch rows (or tiles of one row per lane) of the compute type a worker has, by index; -1: none.
struct softmax_scratch {
  int exponentials = -1;
  int input = -1, upstream = -1, output = -1;  // of rows that the kernels cannot use where they are
  int count = 0;
  std::size_t pitch = 0;  // elements from one to the next
};

/// Everything a kernel needs for a range of rows, already checked. Vectors are matrices of one column.
struct softmax_job {
  softmax_kind kind = softmax_kind::softmax;
  input_matrix input, upstream;
  output_matrix output;
  double temperature = 1;
  bool across_rows = false;   // few or strided classes: one row per SIMD lane
  bool bypass_cache = false;  // the output is too large to be worth caching
  softmax_scratch scratch;

  std::size_t rows() const { return input.rows; }
  std::size_t classes() const { return input.columns; }
};

/// Checks the arguments and runs the rows. No upstream: an empty matrix.
void evaluate_softmax(softmax_kind kind, const input_matrix& input, const input_matrix& upstream,
                      const output_matrix& output, const softmax_options& options);

template <class T>
matrix_view<T> as_column(const vector_view<T>& v) {
  return {v.data_handle(), v.size(), 1, v.stride(), 1};
}

/// A vector of doubles or floats, read or written.
template <class X, class Double, class Float>
auto column_of(X&& x) {
  constexpr bool is_double = std::constructible_from<vector_view<Double>, X>;
  constexpr bool is_float = std::constructible_from<vector_view<Float>, X>;
  static_assert(is_double || is_float,
                "distill: needs a named vector of double or float, one entry for each row");
  if constexpr (is_double)
    return as_column(vector_view<Double>(x));
  else if constexpr (is_float)
    return as_column(vector_view<Float>(x));
}

}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/numeric/softmax-inl.hpp>
#endif
