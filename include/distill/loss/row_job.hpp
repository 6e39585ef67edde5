#pragma once

#include <distill/loss/loss_term.hpp>
#include <distill/view/untyped_matrix.hpp>

namespace distill::inline DISTILL_ABI::detail {

/// Most losses an evaluation can hold.
inline constexpr std::size_t most_terms = 8;

/// Which scratch rows of the compute type a worker has, by index; -1: none.
struct scratch_rows {
  int student = -1,
      teacher = -1;       // converted copies of rows that are not in the compute type or not contiguous
  int gradient = -1;      // the row's gradient, where it cannot be written in place
  int slope = -1;         // a user's df/dq; adaptive_kl's |p - q|
  int candidates = -1;    // what may be among the most probable classes
  int third = -1;         // what a gradient takes beside the exponentials
  int ranking = -1;       // the first of what a ranking loss takes
  int count = 2;          // rows 0 and 1: the exponentials
  std::size_t pitch = 0;  // elements from one row to the next

  int append() { return count++; }
};

/// A loss with the temperatures of one row at a time: itself, where all rows have the same.
class row_term {
 public:
  explicit row_term(const loss_term& term) : term_(term) {
    if (term.varies_by_row()) own_ = term;
  }
  const loss_term& at(std::size_t row) {
    if (!own_) return term_;
    own_->temperature = term_.temperature_of(row);
    own_->teacher_temperature = term_.teacher_temperature_of(row);
    return *own_;
  }

 private:
  const loss_term& term_;
  std::optional<loss_term> own_;
};

/// What a ranking loss takes beside the exponentials' rows, in elements: three rows to select from, with room for
/// whole vectors behind them, and the selected classes.
constexpr std::size_t ranking_scratch(std::size_t classes) { return 4 * classes + 3 * 32; }

/// Everything a kernel needs to evaluate a range of rows, already checked.
struct row_job {
  const loss_term* terms = nullptr;
  std::size_t term_count = 0;
  input_matrix student, teacher;  // no teacher data: none of the terms reads it
  output_matrix gradient;         // no data: value only
  vector_view<const float> weights;
  const double* factors = nullptr;  // [term_count] coefficient / denominator, on the gradient
  double* losses = nullptr;         // [term_count][rows] out: value of each row before weight and coefficient
  vector_view<double> temperature_slopes;  // out, instead of losses and gradient, unless it is empty
  bool accumulate = false;
  bool across_rows = false;      // few or strided classes: one row per SIMD lane
  bool short_rows = false;       // forward_kl on rows worth batching
  bool one_pair = false;         // in float, all that compares teacher and student has the same temperatures
  bool bypass_cache = false;     // the gradient is too large to be worth caching
  bool only_unresolved = false;  // only rows whose losses are not finite: the second attempt, in double
  scratch_rows scratch;

  std::size_t rows() const { return student.rows; }
  std::size_t classes() const { return student.columns; }
  float weight(std::size_t row) const { return weights.empty() ? 1.0f : weights[row]; }
  double& loss(std::size_t term, std::size_t row) const { return losses[term * rows() + row]; }
  bool counts(const loss_term& term, std::size_t row) const {
    return weight(row) != 0 && !(term.needs_labels() && term.labels[row] == term.ignore_index);
  }
  /// Whether teacher and student have one temperature in some rows and two in others: what takes several rows
  /// at once needs them alike.
  bool mixes_temperatures(const loss_term& term) const {
    if (!term.varies_by_row() || term.row_temperatures == term.row_teacher_temperatures) return false;
    if (classes() == 1) return false;  // no temperature matters
    bool any_one = false, any_two = false;
    for (std::size_t row = 0; row < rows(); ++row) {
      if (!counts(term, row)) continue;
      (term.temperature_of(row) == term.teacher_temperature_of(row) ? any_one : any_two) = true;
    }
    return any_one && any_two;
  }
};

}  // namespace distill::inline DISTILL_ABI::detail
