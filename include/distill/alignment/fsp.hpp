#pragma once

#include <distill/alignment/map_pair.hpp>
#include <distill/alignment/relational_job.hpp>
#include <optional>

namespace distill::inline DISTILL_ABI {

namespace detail {

struct fsp_inputs {
  input_matrix first, second;
};
struct fsp_gradients {
  output_matrix first, second;  // no data in either: value only
};

/// Value and gradients; checks the arguments first.
double evaluate_fsp(std::size_t positions, std::size_t teacher_positions, const fsp_inputs& student,
                    const fsp_inputs& teacher, const fsp_gradients& gradient,
                    const relational_options& options);

}  // namespace detail

/// Flow of the solution procedure: what lies between two layers, not what they hold. The Gram matrix of the
/// two layers' feature maps says which channels of one go with which of the other; the student's should be
/// the teacher's.
///
/// Value: the mean over samples and entries of (G_s - G_t)², G = F_1ᵀ F_2 / positions, [channels_1,
/// channels_2] of each sample. The paper sums over entries: multiply by channels_1 channels_2 for its
/// number.
/// Gradient: dG = 2 (G_s - G_t) / (samples channels_1 channels_2), dF_1 = F_2 dGᵀ / positions, dF_2 = F_1 dG
/// / positions.
/// Shapes: `map_pair`s of [samples * positions, channels_1] and [samples * positions, channels_2], any
/// strides; the teacher's with the same channels, and `teacher_positions` to a sample. Bring the two layers
/// of a network to the same positions first, by pooling. Element types may differ, each gradient has its
/// map's, or float for 16 bits; no_gradient in their place computes the value only. All is computed in
/// float, or in double if a map is double.
/// `relational_options`: who multiplies matrices; `row_mask` has an entry for each sample: those of 0 are
/// left out, never read, their gradients written as 0.
/// Throws: shape_error, parameter_error, layout_error, before anything is written.
/// Options: `positions` (> 0; must be given) to a sample, the product of height and width;
/// `teacher_positions` (> 0), the same unless given.
/// Special values: equal maps give exactly 0 and zero gradients. NaN in a sample that is in gives NaN for
/// the value and where it reaches the gradients.
/// Accuracy: value and gradients 2e-5 in float, 1e-11 in double (`tests/alignment/fsp_test.cpp`).
/// Cost: for each sample two products for the value and two for the gradients, of positions channels_1
/// channels_2 each, and two passes over a Gram matrix. Maps in the compute type with a stride of 1 are
/// multiplied where they are, others copied.
/// Memory, from the workspace, per thread: two Gram matrices, and the copies of one sample.
/// Threads and aliasing: samples run by the executor, products within it; the bits do not depend on it, if
/// those of the product do not. The gradients may overlap neither the maps nor each other.
/// Source: Yim et al. 2017, A gift from knowledge distillation, CVPR.
struct fsp {
  std::size_t positions = 0;
  std::optional<std::size_t> teacher_positions = std::nullopt;

  /// The value; with gradients also dLoss/dF_1 and dLoss/dF_2 of the student, written there.
  template <class S1, class S2, class T1, class T2, class G1, class G2>
  double operator()(const map_pair<S1, S2>& student, const map_pair<T1, T2>& teacher,
                    const map_pair<G1, G2>& gradient, const relational_options& options) const {
    return evaluate(student, teacher, {detail::output_of(gradient.first), detail::output_of(gradient.second)},
                    options);
  }
  /// The value alone.
  template <class S1, class S2, class T1, class T2>
  double operator()(const map_pair<S1, S2>& student, const map_pair<T1, T2>& teacher, no_gradient_t,
                    const relational_options& options) const {
    return evaluate(student, teacher, {}, options);
  }
  bool operator==(const fsp&) const = default;

 private:
  template <class S1, class S2, class T1, class T2>
  double evaluate(const map_pair<S1, S2>& student, const map_pair<T1, T2>& teacher,
                  const detail::fsp_gradients& gradient, const relational_options& options) const {
    return detail::evaluate_fsp(positions, teacher_positions.value_or(positions),
                                {student.first, student.second}, {teacher.first, teacher.second}, gradient,
                                options);
  }
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/alignment/fsp-inl.hpp>
#endif
