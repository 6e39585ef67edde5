#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <distill/loss/label_view.hpp>
#include <distill/loss/row_temperature.hpp>
#include <optional>
#include <type_traits>

namespace distill::inline DISTILL_ABI {

/// The formulas the kernels know.
enum class loss_kind {
  forward_kl,
  reverse_kl,
  jensen_shannon,
  skewed_forward_kl,
  skewed_reverse_kl,
  total_variation,
  alpha_beta,
  soft_cross_entropy,
  ranking_hinge,
  ranking_logistic,
  user_divergence,
  cross_entropy,
  logit_mse,
  decoupled_kl,
  standardized_kl,
  adaptive_kl,
  taid_kl,
  corrected_kl
};

namespace detail {

/// Counted from the last.
inline constexpr std::size_t loss_kind_count = static_cast<std::size_t>(loss_kind::corrected_kl) + 1;

/// Header-only, a loss brings its kernels with it: simd/loss_kernels-inl.hpp's LossKernels in either
/// precision.
struct loss_kernels {
  const void* in_float;
  const void* in_double;
};

/// Those of one loss; the compiled library has its own.
template <loss_kind kind>
#if defined(DISTILL_HEADER_ONLY)
const loss_kernels* kernels_of();
#else
const loss_kernels* kernels_of() {
  return nullptr;
}
#endif

}  // namespace detail

/// A user's pointwise divergence as compiled code sees it: a copy of the functor and one function per
/// precision. The function reads p and q, overwrites slope with df/dq, and returns the sum of f; u is not
/// written where slope is null. The other, null where the functor has none, writes df/dp.
struct pointwise_function {
  double (*evaluate_float)(const void* functor, const float* p, const float* q, float* slope,
                           std::size_t count) = nullptr;
  double (*evaluate_double)(const void* functor, const double* p, const double* q, double* slope,
                            std::size_t count) = nullptr;
  void (*teacher_slope_float)(const void* functor, const float* p, const float* q, float* slope,
                              std::size_t count) = nullptr;
  void (*teacher_slope_double)(const void* functor, const double* p, const double* q, double* slope,
                               std::size_t count) = nullptr;
  alignas(double) unsigned char functor[32] = {};
};

/// A loss lowered to numbers: what crosses into compiled code, whatever the loss. Every loss's term() gives
/// one, and an objective is a list of them.
struct loss_term {
  loss_kind kind = loss_kind::forward_kl;  ///< goes with the kernels: change neither alone
  const detail::loss_kernels* kernels = nullptr;
  const char* name = "";
  double coefficient = 1;
  double temperature = 1;
  double teacher_temperature = 1;
  bool temperature_squared = true;
  double alpha = 0, beta = 0;  ///< a loss's own parameters: what each is called there, to_string says
  label_view labels = {};
  std::int64_t ignore_index = -100;
  double label_smoothing = 0;
  pointwise_function function = {};
  double margin = 0;
  std::size_t largest = 0;  ///< how many of the teacher's largest logits are compared; 0: all
  /// In place of the two numbers where each row has its own.
  std::optional<row_temperature> row_temperatures = std::nullopt;
  std::optional<row_temperature> row_teacher_temperatures = std::nullopt;

  bool needs_teacher() const { return kind != loss_kind::cross_entropy; }
  /// Whether it sees no more of the teacher than the order of its logits.
  constexpr bool ranks() const { return kind == loss_kind::ranking_hinge || kind == loss_kind::ranking_logistic; }
  bool needs_labels() const {
    return kind == loss_kind::cross_entropy || kind == loss_kind::decoupled_kl ||
           kind == loss_kind::corrected_kl;
  }
  /// Whether the row is transformed as a whole before it is compared: by its label, its moments, its most
  /// probable classes or the other model's logits.
  bool transforms_rows() const {
    return kind == loss_kind::decoupled_kl || kind == loss_kind::standardized_kl ||
           kind == loss_kind::adaptive_kl || kind == loss_kind::taid_kl || kind == loss_kind::corrected_kl;
  }
  /// Whether it is a function of the probabilities of teacher and student class by class, from a formula the
  /// kernels know.
  bool compares_distributions() const {
    return kind != loss_kind::cross_entropy && kind != loss_kind::logit_mse &&
           kind != loss_kind::user_divergence && !ranks() && !transforms_rows();
  }
  /// Whether it is part of row_options::temperature_slopes. One that is has to know its slope.
  constexpr bool moves_with_temperature() const {
    return kind != loss_kind::cross_entropy && kind != loss_kind::logit_mse;
  }
  bool has_temperature_slope() const {
    switch (kind) {
      case loss_kind::forward_kl:
      case loss_kind::reverse_kl:
      case loss_kind::jensen_shannon:
      case loss_kind::skewed_forward_kl:
      case loss_kind::skewed_reverse_kl:
      case loss_kind::total_variation:
      case loss_kind::alpha_beta:
      case loss_kind::soft_cross_entropy:
      case loss_kind::ranking_hinge:
      case loss_kind::ranking_logistic:
      case loss_kind::decoupled_kl:
      case loss_kind::standardized_kl:
      case loss_kind::adaptive_kl:
      case loss_kind::taid_kl:
      case loss_kind::corrected_kl:
        return true;
      case loss_kind::user_divergence:
        return function.teacher_slope_float != nullptr;
      default:
        return false;
    }
  }
  bool varies_by_row() const { return row_temperatures || row_teacher_temperatures; }
  double temperature_of(std::size_t row) const {
    return row_temperatures ? (*row_temperatures)[row] : temperature;
  }
  double teacher_temperature_of(std::size_t row) const {
    return row_teacher_temperatures ? (*row_teacher_temperatures)[row] : teacher_temperature;
  }
  bool shares_temperatures_with(const loss_term& other) const {
    return temperature == other.temperature && teacher_temperature == other.teacher_temperature &&
           row_temperatures == other.row_temperatures &&
           row_teacher_temperatures == other.row_teacher_temperatures;
  }
  /// The teacher's are the student's unless given.
  loss_term with_temperatures(const row_temperature& student,
                              const std::optional<row_temperature>& teacher = std::nullopt) const {
    loss_term result = *this;
    result.temperature = student.number();
    if (student.is_per_row()) result.row_temperatures = student;
    const row_temperature of_teacher = teacher.value_or(student);
    result.teacher_temperature = of_teacher.number();
    if (of_teacher.is_per_row()) result.row_teacher_temperatures = of_teacher;
    return result;
  }
  /// The factor on value and gradient; as the numbers above, of no meaning where each row has its own.
  double scale() const { return temperature_squared ? temperature * teacher_temperature : 1; }
};

namespace detail {

/// The term of a loss: its numbers, with what belongs to its formula.
template <loss_kind kind>
loss_term term_of(loss_term numbers) {
  numbers.kind = kind;
  numbers.kernels = kernels_of<kind>();
  return numbers;
}

}  // namespace detail
}  // namespace distill::inline DISTILL_ABI
