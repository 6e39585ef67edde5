#pragma once

#include <cstdint>
#include <distill/execution/executor.hpp>
#include <distill/execution/workspace.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/untyped_matrix.hpp>
#include <distill/view/vector_view.hpp>

namespace distill::inline DISTILL_ABI {

/// Weights for each row: any named matrix, of any element type, in memory that somebody else owns.
class weights_of_rows {
 public:
  weights_of_rows() = default;
  template <class Matrix>
  requires(matrix_like<std::remove_reference_t<Matrix>> &&
           !std::same_as<std::remove_cvref_t<Matrix>, weights_of_rows>) weights_of_rows(Matrix&& matrix)
      : matrix_(as_view(std::forward<Matrix>(matrix))) {}

  bool empty() const { return matrix_.data == nullptr && matrix_.rows == 0; }
  const detail::input_matrix& matrix() const { return matrix_; }

 private:
  detail::input_matrix matrix_;
};

/// How much each teacher counts, and who does the work; the last argument of what mixes teachers.
///
/// Weights are finite and >= 0, and are divided by their sum: [2, 1] is two thirds and one third. A teacher
/// of weight 0 is never read, whatever it holds. A row without any weight has no distribution: its output is
/// NaN, and a loss that masks the row never reads it.
struct mixing_options {
  /// [teachers], the same for every row. Empty, as is weights_of_rows: all teachers weigh the same.
  vector_view<const double> weights = {};
  /// [rows, teachers]; with `chosen`, [rows, k]. Not together with `weights`.
  distill::weights_of_rows weights_of_rows = {};
  /// [rows, k] teachers of each row, as a gate's routing names experts; -1: none. Only these are read. Named
  /// twice, a teacher counts with both weights. Empty: every teacher serves every row.
  matrix_view<const std::int32_t> chosen = {};
  /// [rows] finite; a row of weight 0 is never read, whatever it and its teachers' weights hold, and its
  /// output is NaN. Empty: every row is mixed.
  vector_view<const float> row_weights = {};
  executor_ref executor = {};
  /// Scratch kept between calls; without one the call allocates its own, once: per thread a row of the
  /// compute type for each teacher, and for the output, that is strided or of another type; where there are
  /// few classes, or classes are the strided direction, 64 bytes a class for each teacher and two more.
  distill::workspace* workspace = nullptr;
};

}  // namespace distill::inline DISTILL_ABI
