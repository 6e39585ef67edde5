// The pointwise divergences: each is a value f(p, q) and u = df/dq.
//
// With q = softmax(student / T), the gradient of Σ f with respect to the student logits is (q u - q Σ q u) /
// T, so an operator returns f and q u; and p w, w = df/dp, for the slope by the temperature. Two freedoms
// keep the digits of nearly equal p and q: f may carry any multiple of q - p (its sum is 0), and u and w any
// constant.
#if defined(DISTILL_SIMD_POINTWISE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_POINTWISE_INL_HPP
#undef DISTILL_SIMD_POINTWISE_INL_HPP
#else
#define DISTILL_SIMD_POINTWISE_INL_HPP
#endif

#include <distill/loss/loss_term.hpp>
#include <distill/simd/exponential-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What an operator sees of one vector of classes. difference = q - p and log_ratio = log(p / q) are computed
// from the logits, not from p and q: they have full relative accuracy where p and q are nearly equal. A
// probability of 0 has log -inf; where both are 0, log_ratio is not a number and an operator must return 0.
template <class V>
struct Probabilities {
  V p, q, difference, log_ratio, log_p, log_q;
  V origin_log_ratio;  // log_ratio but for a constant, such that it is near 0 where both p and q are largest
};

// probability * factor, and 0 for probability 0 whatever the factor is.
template <class D, class V>
HWY_INLINE V ProductOrZero(D d, V probability, V factor) {
  return hn::IfThenElseZero(hn::Gt(probability, hn::Zero(d)), hn::Mul(probability, factor));
}

struct ForwardKl {
  template <class D, class V>
  HWY_INLINE void operator()(D d, const Probabilities<V>& x, V& f, V& qu) const {
    f = hn::Add(ProductOrZero(d, x.p, x.log_ratio), x.difference);
    qu = x.difference;
  }
  template <class D, class V>
  HWY_INLINE V TeacherSlope(D d, const Probabilities<V>& x) const {
    return ProductOrZero(d, x.p, x.origin_log_ratio);
  }
};

struct SoftCrossEntropy {
  template <class D, class V>
  HWY_INLINE void operator()(D d, const Probabilities<V>& x, V& f, V& qu) const {
    // A probability that rounds to 1 has logarithm 0: with one class the loss is 0, not a rounding error.
    const V log_q = hn::IfThenZeroElse(hn::Ge(x.q, hn::Set(d, Real<D>{1})), x.log_q);
    f = hn::Neg(ProductOrZero(d, x.p, log_q));
    qu = x.difference;
  }
  template <class D, class V>
  HWY_INLINE V TeacherSlope(D d, const Probabilities<V>& x) const {
    return hn::Neg(ProductOrZero(d, x.p, x.log_q));
  }
};

struct ReverseKl {
  template <class D, class V>
  HWY_INLINE void operator()(D d, const Probabilities<V>& x, V& f, V& qu) const {
    // u without its constant: where a student is sure, q u and q Σ q u do not cancel.
    qu = hn::Neg(ProductOrZero(d, x.q, x.origin_log_ratio));
    f = hn::Neg(hn::Add(ProductOrZero(d, x.q, x.log_ratio), x.difference));
  }
  // w = -q / p + 1
  template <class D, class V>
  HWY_INLINE V TeacherSlope(D, const Probabilities<V>& x) const {
    return hn::Neg(x.difference);
  }
};

struct TotalVariation {
  template <class D, class V>
  HWY_INLINE void operator()(D d, const Probabilities<V>& x, V& f, V& qu) const {
    const V half = hn::Set(d, Real<D>{0.5});
    f = hn::Mul(half, hn::Abs(x.difference));
    const V signed_half = hn::CopySign(hn::Mul(half, x.q), x.difference);
    qu = hn::IfThenZeroElse(hn::Eq(x.difference, hn::Zero(d)), signed_half);
  }
  template <class D, class V>
  HWY_INLINE V TeacherSlope(D d, const Probabilities<V>& x) const {
    const V half = hn::Mul(hn::Set(d, Real<D>{0.5}), x.p);
    return hn::IfThenZeroElse(hn::Eq(x.difference, hn::Zero(d)), hn::CopySign(half, hn::Neg(x.difference)));
  }
};

// log(m / p) and log(m / q) for the mixture m = share p + (1 - share) q, from one logarithm of an argument in
// (-1, 0]: the one relative to the larger of p and q.
template <class D, class V>
HWY_INLINE void MixtureLogs(D d, const Probabilities<V>& x, V share, V& log_m_over_p, V& log_m_over_q) {
  const V one = hn::Set(d, Real<D>{1});
  const auto student_larger = hn::Gt(x.difference, hn::Zero(d));
  const V larger = hn::IfThenElse(student_larger, x.q, x.p);
  const V weight = hn::IfThenElse(student_larger, share, hn::Sub(one, share));
  const V smaller = hn::IfThenElse(student_larger, x.p, x.q);
  const V relative = hn::Div(hn::Abs(x.difference), larger);
  const V deficit = hn::Mul(weight, hn::IfThenElse(hn::Eq(smaller, hn::Zero(d)), one, relative));
  const V log_of_larger = Log1p(d, hn::Neg(deficit));
  log_m_over_p = hn::IfThenElse(student_larger, hn::Sub(log_of_larger, x.log_ratio), log_of_larger);
  log_m_over_q = hn::IfThenElse(student_larger, log_of_larger, hn::Add(log_of_larger, x.log_ratio));
}

struct JensenShannon {
  double beta;
  template <class D, class V>
  HWY_INLINE void operator()(D d, const Probabilities<V>& x, V& f, V& qu) const {
    const V share = hn::Set(d, static_cast<Real<D>>(beta));
    const V rest = hn::Set(d, static_cast<Real<D>>(1 - beta));
    V log_m_over_p, log_m_over_q;
    MixtureLogs(d, x, share, log_m_over_p, log_m_over_q);
    qu = hn::Neg(hn::Mul(rest, ProductOrZero(d, x.q, log_m_over_q)));
    f = hn::NegMulAdd(share, ProductOrZero(d, x.p, log_m_over_p), qu);
  }
  template <class D, class V>
  HWY_INLINE V TeacherSlope(D d, const Probabilities<V>& x) const {
    const V share = hn::Set(d, static_cast<Real<D>>(beta));
    V log_m_over_p, log_m_over_q;
    MixtureLogs(d, x, share, log_m_over_p, log_m_over_q);
    return hn::Neg(hn::Mul(share, ProductOrZero(d, x.p, log_m_over_p)));
  }
};

struct SkewedForwardKl {
  double alpha;
  template <class D, class V>
  HWY_INLINE void operator()(D d, const Probabilities<V>& x, V& f, V& qu) const {
    const V share = hn::Set(d, static_cast<Real<D>>(alpha));
    const V rest = hn::Set(d, static_cast<Real<D>>(1 - alpha));
    V log_m_over_p, log_m_over_q;
    MixtureLogs(d, x, share, log_m_over_p, log_m_over_q);
    const V m = hn::MulAdd(rest, x.difference, x.p);
    f = hn::Sub(hn::Mul(rest, x.difference), ProductOrZero(d, x.p, log_m_over_p));
    // u = -(1 - α) p / m + (1 - α)
    const V slope = hn::Div(hn::Mul(hn::Mul(rest, rest), x.difference), m);
    qu = ProductOrZero(d, x.q, slope);
  }
  // w = log(p / m) - α p / m + α
  template <class D, class V>
  HWY_INLINE V TeacherSlope(D d, const Probabilities<V>& x) const {
    const V share = hn::Set(d, static_cast<Real<D>>(alpha));
    const V rest = hn::Set(d, static_cast<Real<D>>(1 - alpha));
    V log_m_over_p, log_m_over_q;
    MixtureLogs(d, x, share, log_m_over_p, log_m_over_q);
    const V m = hn::MulAdd(rest, x.difference, x.p);
    const V away = hn::Div(hn::Mul(hn::Mul(share, rest), x.difference), m);
    return ProductOrZero(d, x.p, hn::Sub(away, log_m_over_p));
  }
};

struct SkewedReverseKl {
  double alpha;
  template <class D, class V>
  HWY_INLINE void operator()(D d, const Probabilities<V>& x, V& f, V& qu) const {
    const V share = hn::Set(d, static_cast<Real<D>>(1 - alpha));
    V log_m_over_p, log_m_over_q;
    MixtureLogs(d, x, share, log_m_over_p, log_m_over_q);
    const V m = hn::MulAdd(hn::Set(d, static_cast<Real<D>>(alpha)), x.difference, x.p);
    const V teacher_share = hn::Mul(share, x.difference);
    const V log_part = hn::Neg(ProductOrZero(d, x.q, log_m_over_q));
    f = hn::Sub(log_part, teacher_share);
    // u = log(q / m) - α q / m + α
    const V slope = hn::Mul(hn::Set(d, static_cast<Real<D>>(alpha)), hn::Div(teacher_share, m));
    qu = hn::Sub(log_part, ProductOrZero(d, x.q, slope));
  }
  // w = -(1 - α) q / m + (1 - α)
  template <class D, class V>
  HWY_INLINE V TeacherSlope(D d, const Probabilities<V>& x) const {
    const V share = hn::Set(d, static_cast<Real<D>>(1 - alpha));
    const V m = hn::MulAdd(hn::Set(d, static_cast<Real<D>>(alpha)), x.difference, x.p);
    return hn::Neg(ProductOrZero(d, x.p, hn::Div(hn::Mul(hn::Mul(share, share), x.difference), m)));
  }
};

// Everything relative to the larger of p and q, so that exponents are not positive for positive parameters.
// With a = |log(p / q)|, and (alpha, beta) exchanged where q is the larger:
//   f = -b^s / (αβ) [expm1(-β a) - (β / s) expm1(-s a)], b = max(p, q), s = α + β.
struct AlphaBeta {
  double alpha, beta;

  // e^v - 1. For v > 1 a subtraction of 1 loses nothing, up to the largest power.
  template <class D, class V>
  HWY_INLINE V ExpMinus1(D d, V v) const {
    using T = Real<D>;
    const V scaled = hn::Mul(v, hn::Set(d, static_cast<T>(kLog2e)));
    const V small = Exp2Minus1(d, hn::Neg(hn::Abs(scaled)));
    if (alpha >= 0 && beta >= 0) return small;  // then no exponent is positive
    const V one = hn::Set(d, T{1});
    const V limit = hn::Set(d, static_cast<T>(sizeof(T) == 4 ? 127 : 1023));
    const V large = hn::IfThenElse(hn::Gt(v, one), hn::Sub(Exp2(d, hn::Min(scaled, limit)), one),
                                   hn::Div(hn::Neg(small), hn::Add(small, one)));
    return hn::IfThenElse(hn::Gt(v, hn::Zero(d)), large, small);
  }

  // b^s, capped at the largest power of 2.
  template <class D, class V>
  HWY_INLINE V PowerOf(D d, V log_b) const {
    using T = Real<D>;
    const V exponent = hn::Mul(log_b, hn::Set(d, static_cast<T>((alpha + beta) * kLog2e)));
    return Exp2(d, hn::Min(exponent, hn::Set(d, static_cast<T>(sizeof(T) == 4 ? 127 : 1023))));
  }

  // f / b^s for the log ratio `a` of the larger probability to the smaller, whose parameter is `small`;
  // with expm1(-s a) and expm1(-small a) at hand. Where a parameter is 0, the limit.
  template <class D, class V>
  HWY_INLINE V Bracket(D d, V a, V small, V exp_s, V exp_small) const {
    using T = Real<D>;
    const double s = alpha + beta;
    const V exp_s_over_s = s == 0 ? hn::Neg(a) : hn::Mul(exp_s, hn::Set(d, static_cast<T>(1 / s)));
    if (alpha != 0 && beta != 0)
      return hn::Mul(hn::Sub(hn::Mul(small, exp_s_over_s), exp_small),
                     hn::Set(d, static_cast<T>(1 / (alpha * beta))));
    if (s == 0) return hn::Mul(hn::Mul(hn::Set(d, T{0.5}), a), a);
    const V inverse = hn::Set(d, static_cast<T>(1 / s)),
            one = hn::Set(d, T{1});  // s is the parameter that is not 0
    const V small_0 = hn::Mul(hn::Add(exp_s_over_s, a), inverse);
    const V tail = hn::Mul(hn::Mul(small, a), hn::Add(exp_small, one));
    const V large_0 = hn::Mul(hn::Neg(hn::Add(tail, exp_small)), hn::Mul(inverse, inverse));
    return hn::IfThenElse(hn::Eq(small, hn::Zero(d)), small_0, large_0);
  }

  template <class D, class V>
  HWY_INLINE void operator()(D d, const Probabilities<V>& x, V& f, V& qu) const {
    using T = Real<D>;
    const V zero = hn::Zero(d), one = hn::Set(d, T{1});
    const V va = hn::Set(d, static_cast<T>(alpha)), vb = hn::Set(d, static_cast<T>(beta));
    const auto student_larger = hn::Lt(x.log_ratio, zero);
    const V power = PowerOf(d, hn::IfThenElse(student_larger, x.log_q, x.log_p));
    // A ratio of infinity is capped where every power of it has vanished; what then remains is the finite
    // limit.
    const V a = hn::Abs(x.log_ratio), capped = hn::Min(a, hn::Set(d, static_cast<T>(1e30)));
    const V small = hn::IfThenElse(student_larger, va, vb);  // the parameter of the smaller probability
    const V exp_s = ExpMinus1(d, hn::Mul(capped, hn::Set(d, static_cast<T>(-(alpha + beta)))));
    const V exp_small = ExpMinus1(d, hn::Neg(hn::Mul(small, capped)));
    f = hn::Mul(power, Bracket(d, capped, small, exp_s, exp_small));
    const auto diverges = hn::And(hn::Eq(a, hn::Inf(d)), hn::Le(small, zero));
    f = hn::IfThenElse(diverges, hn::Inf(d), f);
    // q u = (q^s - p^α q^β) / α; for α = 0 its limit q^β log(q / p). Where q is the larger, exp_small is the
    // power (p / q)^α - 1; elsewhere exp_small is (q / p)^β - 1 and exp_s is (q / p)^s - 1.
    if (alpha != 0) {
      const V difference = hn::IfThenElse(student_larger, hn::Neg(exp_small), hn::Sub(exp_s, exp_small));
      qu = hn::Mul(power, hn::Mul(difference, hn::Set(d, static_cast<T>(1 / alpha))));
    } else {
      const V weight = hn::IfThenElse(student_larger, one, hn::Add(exp_small, one));
      qu = hn::Neg(hn::Mul(hn::Mul(power, weight), hn::CopySign(capped, x.log_ratio)));
    }
    const auto both_zero = hn::And(hn::Eq(x.p, zero), hn::Eq(x.q, zero));
    f = hn::IfThenZeroElse(both_zero, f);
    qu = hn::IfThenZeroElse(both_zero, qu);
  }

  // f is the same with p and q, and α and β, exchanged: so is p w = (p^s - p^α q^β) / β.
  template <class D, class V>
  HWY_INLINE V TeacherSlope(D d, const Probabilities<V>& x) const {
    Probabilities<V> other = x;
    other.p = x.q, other.q = x.p, other.log_p = x.log_q, other.log_q = x.log_p;
    other.log_ratio = hn::Neg(x.log_ratio);
    V f, pw;
    AlphaBeta{beta, alpha}(d, other, f, pw);
    return pw;
  }
};

struct NoOperator {};

// The operator of a loss, made from its term; NoOperator for one that is not pointwise, or the user's.
template <loss_kind kKind>
HWY_INLINE auto OperatorOf([[maybe_unused]] const loss_term& term) {
  if constexpr (kKind == loss_kind::forward_kl)
    return ForwardKl{};
  else if constexpr (kKind == loss_kind::reverse_kl)
    return ReverseKl{};
  else if constexpr (kKind == loss_kind::jensen_shannon)
    return JensenShannon{term.beta};
  else if constexpr (kKind == loss_kind::skewed_forward_kl)
    return SkewedForwardKl{term.alpha};
  else if constexpr (kKind == loss_kind::skewed_reverse_kl)
    return SkewedReverseKl{term.alpha};
  else if constexpr (kKind == loss_kind::total_variation)
    return TotalVariation{};
  else if constexpr (kKind == loss_kind::alpha_beta)
    return AlphaBeta{term.alpha, term.beta};
  else if constexpr (kKind == loss_kind::soft_cross_entropy)
    return SoftCrossEntropy{};
  else
    return NoOperator{};
}

template <loss_kind kKind>
inline constexpr bool kIsPointwise =
    !std::is_same_v<decltype(OperatorOf<kKind>(std::declval<const loss_term&>())), NoOperator>;

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
