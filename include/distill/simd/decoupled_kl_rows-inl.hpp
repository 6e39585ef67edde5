// Decoupled KL of a row: forward KL over the classes but the label, and forward KL of label against all
// others.
//
// The label is read as -inf, so that the sums are those of the others and never what is left of a sum that
// the label dominates. Label against others is a matter of log-odds, in double.
#if defined(DISTILL_SIMD_DECOUPLED_KL_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_DECOUPLED_KL_ROWS_INL_HPP
#undef DISTILL_SIMD_DECOUPLED_KL_ROWS_INL_HPP
#else
#define DISTILL_SIMD_DECOUPLED_KL_ROWS_INL_HPP
#endif

#include <distill/simd/kl_slopes-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// KL(p || q) of two outcomes, and q - p of the first.
struct TwoOutcomes {
  double value, difference;
};

HWY_INLINE double Softplus(double x) { return std::fmax(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }
HWY_INLINE double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// r + e^-r - 1 for |r| < 1, by its series.
HWY_INLINE double ExcessOfExponential(double r) {
  double sum = 0;
  for (int k = 18; k >= 3; --k) sum = (1 - sum) * r / k;
  return (1 - sum) * r * r / 2;
}

// From log-odds of the first outcome, the teacher's and the student's, that are certain or impossible for
// one.
HWY_INLINE TwoOutcomes InfiniteOutcomes(double teacher, double student) {
  if (teacher == student) return {0, 0};
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (std::isinf(student)) return {kInfinity, student > 0 ? Sigmoid(-teacher) : -Sigmoid(teacher)};
  return teacher > 0 ? TwoOutcomes{Softplus(-student), -Sigmoid(-student)}
                     : TwoOutcomes{Softplus(student), Sigmoid(student)};
}

// From finite log-odds and their difference, which is taken to full relative accuracy; not negative.
HWY_INLINE TwoOutcomes OutcomesOf(double teacher, double student, double difference) {
  const double p = Sigmoid(teacher), rest = Sigmoid(-teacher);
  const double change = std::expm1(-difference);
  const double log_rest_ratio =
      std::log1p(p * change);  // of the rest's probabilities, teacher's to student's
  const double q_minus_p = p * Sigmoid(-student) * change;
  if (p * change > -0.5)  // not negative, term by term
    return {p * (std::abs(difference + log_rest_ratio) < 1
                     ? ExcessOfExponential(difference + log_rest_ratio)
                     : difference + log_rest_ratio + std::expm1(-difference - log_rest_ratio)) +
                rest * ExcessOfExponential(log_rest_ratio),
            q_minus_p};
  return {p * (Softplus(-student) - Softplus(-teacher)) + rest * (Softplus(student) - Softplus(teacher)),
          q_minus_p};
}

HWY_INLINE TwoOutcomes LabelAgainstRest(double teacher, double student, double difference) {
  if (std::isnan(teacher) || std::isnan(student)) return {teacher + student, teacher + student};
  if (std::isinf(teacher) || std::isinf(student)) return InfiniteOutcomes(teacher, student);
  if (difference >= 0) return OutcomesOf(teacher, student, difference);
  const TwoOutcomes swapped = OutcomesOf(-teacher, -student, -difference);
  return {swapped.value, -swapped.difference};
}

// Log-odds of a label with this log2 exponent; alone: there is no other class. Sums that overflowed are not
// sums.
HWY_INLINE double LogOdds(double exponent, double sum, bool alone) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity(),
                   kNan = std::numeric_limits<double>::quiet_NaN();
  if (std::isnan(sum) || std::isnan(exponent) || exponent == kInfinity) return kNan;
  if (alone) return exponent == -kInfinity ? kNan : kInfinity;
  return sum > 0 && std::isfinite(sum) ? kLn2 * exponent - std::log(sum) : kNan;
}

template <class D>
class DecoupledKl {
  using T = Real<D>;

 public:
  DecoupledKl(D d, const loss_term& term, const RowView<T>& row, size_t label)
      : row_(row),
        label_(label),
        target_weight_(term.alpha),
        // One other class is certain among the others, for teacher and student alike.
        others_weight_(row.classes > 2 ? term.beta : 0),
        scale_(ScaleOf<T>(term)),
        teacher_largest_(LargestBut(d, row.teacher, row.classes, label)),
        student_largest_(LargestBut(d, row.student, row.classes, label)) {
    scale_.RefersTo(OrZero(teacher_largest_), OrZero(student_largest_));
  }

  const PairScale<T>& scale() const { return scale_; }

  template <Form kForm, bool kSame>
  HWY_INLINE FormValue Evaluate(D d, const RowScratch<T>& scratch, double factor) const {
    const RowSums sums = SumRow<kForm, kSame>(d, row_, scale_, scratch, WithoutLabel());
    const RowResult others = ResultOf<kForm>(sums, scale_);
    const double student_sum = kForm == Form::kApart ? sums.other : sums.teacher + sums.other;
    const LabelOdds odds = OddsOfLabel<kForm, kSame>(sums.teacher, student_sum, others.excess);
    const TwoOutcomes target = LabelAgainstRest(odds.teacher, odds.student, odds.difference);
    const double value = ValueOf(target, others);
    const FormValue result = Judged<kForm>(value, kCloseValue * (target_weight_ + others_weight_));
    if (StoresGradient(row_, result)) {
      // target: factor α Δ; another class: factor (β (q̂ - p̂) - α Δ q̂)
      factor += PoisonOf(value);
      const double shift = factor * target_weight_ * target.difference;
      const double weight = ComparesOthers() ? factor * others_weight_ : 0;
      const double student_norm = IsStudentAlone() ? 0 : shift / student_sum;
      double other_factor = -student_norm, teacher_factor = kForm == Form::kApart ? 0 : -student_norm;
      if (ComparesOthers()) {
        other_factor += IsStudentAlone() ? 0 : weight * others.other_norm;
        teacher_factor += IsStudentAlone() ? -weight / sums.teacher : weight * others.teacher_norm;
      }
      StorePairs(d, row_, scratch, other_factor, teacher_factor);
      row_.gradient[label_] += static_cast<T>(shift);
    }
    return result;
  }

  // By the temperatures. The log-odds of the label are its logit less the mean of the others' logits, as far
  // as their slopes go.
  template <bool kSame>
  HWY_INLINE double Slope(D d, const loss_term& term) const {
    const T largest_student = OrZero(student_largest_), largest_teacher = OrZero(teacher_largest_);
    const KlMoments m = MomentsOfPairs(d, row_, largest_student, largest_teacher,
                                       PairsOfRow<Form::kClose, kSame>(d, row_, scale_, WithoutLabel()));
    const RowResult others = ResultOf<Form::kClose>(m.sums, scale_);
    const double student_sum = m.sums.teacher + m.sums.other;
    const LabelOdds odds = OddsOfLabel<Form::kClose, kSame>(m.sums.teacher, student_sum, others.excess);
    const TwoOutcomes target = LabelAgainstRest(odds.teacher, odds.student, odds.difference);
    double student = 0, teacher = 0;
    if (target_weight_ > 0 && std::isfinite(odds.student)) {
      const double off = static_cast<double>(row_.student[label_]) - static_cast<double>(largest_student);
      const double mean = (m.student.exponentials + m.student.others) / student_sum;
      student += target_weight_ * target.difference * (off - mean);
      if (std::isfinite(odds.teacher)) {
        const double above = static_cast<double>(row_.teacher[label_]) - static_cast<double>(largest_teacher);
        teacher += target_weight_ * Sigmoid(odds.teacher) * Sigmoid(-odds.teacher) * odds.difference *
                   (above - m.teacher.exponentials / m.sums.teacher);
      }
    }
    if (ComparesOthers() && !IsStudentAlone()) {
      student += others_weight_ * OfStudent(m, others);
      teacher += others_weight_ * OfTarget(m, m.teacher);
    }
    return SlopeFrom(term, ValueOf(target, others), student, teacher);
  }

 private:
  // The log-odds of the label, and the teacher's less the student's.
  struct LabelOdds {
    double teacher, student, difference;
  };

  bool IsStudentAlone() const { return student_largest_ == -std::numeric_limits<T>::infinity(); }
  bool IsTeacherAlone() const { return teacher_largest_ == -std::numeric_limits<T>::infinity(); }
  bool ComparesOthers() const { return others_weight_ > 0 && !IsTeacherAlone(); }
  ReadLabel<T> WithoutLabel() const {
    constexpr T kMasked = -std::numeric_limits<T>::infinity();
    return {label_, kMasked, kMasked};
  }

  double ValueOf(const TwoOutcomes& target, const RowResult& others) const {
    const double value = target_weight_ > 0 ? target_weight_ * target.value : PoisonOf(target.value);
    if (!ComparesOthers()) return value;
    return value + others_weight_ * (IsStudentAlone() ? std::numeric_limits<double>::infinity()
                                                      : others.log_ratio + std::log1p(others.excess));
  }

  template <Form kForm, bool kSame>
  HWY_INLINE LabelOdds OddsOfLabel(double teacher_sum, double student_sum, double excess) const {
    const double t = row_.teacher[label_], z = row_.student[label_];
    const double teacher_scale = scale_.teacher_scale, student_scale = scale_.student_scale;
    const double teacher_origin = scale_.teacher_origin;
    const double student_origin = kForm == Form::kApart ? static_cast<double>(scale_.student_origin)
                                                        : teacher_origin - scale_.Log2RatioOrigin();
    const double teacher = LogOdds(t * teacher_scale + teacher_origin, teacher_sum, IsTeacherAlone());
    const double student = LogOdds(z * student_scale + student_origin, student_sum, IsStudentAlone());
    const double exponents = kSame ? (t - z) * teacher_scale : t * teacher_scale - z * student_scale;
    const double difference = kLn2 * (exponents + (teacher_origin - student_origin)) + std::log1p(excess);
    return {teacher, student, difference};
  }

  const RowView<T>& row_;
  const size_t label_;
  const double target_weight_, others_weight_;
  PairScale<T> scale_;
  const T teacher_largest_, student_largest_;  // of the other classes
};

template <class D>
HWY_NOINLINE double DecoupledKlRow(D d, const loss_term& term, const RowView<Real<D>>& row, size_t label,
                                   const RowScratch<Real<D>>& scratch, double factor) {
  const DecoupledKl<D> loss(d, term, row, label);
  return EvaluateInForm(d, row, loss.scale(), [&](auto form, auto same) HWY_ATTR {
    return loss.template Evaluate<form(), same()>(d, scratch, factor);
  });
}

template <class D>
HWY_NOINLINE double DecoupledKlSlope(D d, const loss_term& term, const RowView<Real<D>>& row, size_t label) {
  const DecoupledKl<D> loss(d, term, row, label);
  return WithSame(loss.scale(), [&](auto same) HWY_ATTR { return loss.template Slope<same()>(d, term); });
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
