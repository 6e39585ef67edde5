#pragma once

#include <array>
#include <concepts>
#include <distill/loss/evaluate.hpp>

namespace distill::inline DISTILL_ABI {

/// Any loss of this library: a value with its parameters in it that lowers to a term.
template <class L>
concept loss = requires(const L& l) {
  { l.term() } -> std::same_as<loss_term>;
};

/// A weighted sum of losses, at most eight: `0.7 * forward_kl{.temperature = 5} + 0.3 * cross_entropy{.labels = y}`.
///
/// Value and gradient are the weighted sums of what the losses give when called alone, each with its own
/// denominator; every row is visited once, while it is in cache.
/// Throws: what its losses throw; parameter_error for a ninth loss or a coefficient that is not finite.
class objective {
 public:
  static constexpr std::size_t capacity = 8;

  objective() = default;
  template <loss L>
  objective(const L& loss, double coefficient = 1) {
    add(loss.term(), coefficient);
  }

  /// The value; with a gradient buffer [rows, classes] also dLoss/dStudent, written there.
  template <class Student, class Teacher, class Gradient = no_gradient_t>
  double operator()(Student&& student, Teacher&& teacher, Gradient&& gradient = {},
                    const row_options& rows = {}) const {
    return detail::evaluate_views("objective", terms(), std::forward<Student>(student),
                                  std::forward<Teacher>(teacher), std::forward<Gradient>(gradient), rows);
  }

  std::span<const loss_term> terms() const { return {terms_.data(), size_}; }

  objective& operator*=(double factor) {
    for (std::size_t i = 0; i < size_; ++i) terms_[i].coefficient *= factor;
    return *this;
  }
  objective& operator+=(const objective& other) {
    for (const loss_term& term : other.terms()) add(term, 1);
    return *this;
  }

 private:
  void add(loss_term term, double factor) {
    if (size_ == capacity) throw parameter_error("objective: holds at most 8 losses");
    term.coefficient *= factor;
    terms_[size_++] = term;
  }

  std::array<loss_term, capacity> terms_ = {};
  std::size_t size_ = 0;
};

template <loss L>
objective operator*(double factor, const L& loss) {
  return objective(loss, factor);
}
template <loss L>
objective operator*(const L& loss, double factor) {
  return objective(loss, factor);
}
inline objective operator*(double factor, objective sum) { return sum *= factor; }
inline objective operator*(objective sum, double factor) { return sum *= factor; }

template <class A, class B>
  requires((loss<A> || std::same_as<A, objective>) && (loss<B> || std::same_as<B, objective>))
objective operator+(const A& a, const B& b) {
  objective sum(a);
  return sum += objective(b);
}

/// The loss as it would be written: `forward_kl{.temperature = 4}`.
template <loss L>
std::string to_string(const L& loss) {
  return to_string(loss.term());
}
inline std::string to_string(const objective& sum) {
  std::string text;
  for (const loss_term& term : sum.terms()) text += (text.empty() ? "" : " + ") + to_string(term);
  return text;
}

}  // namespace distill::inline DISTILL_ABI
