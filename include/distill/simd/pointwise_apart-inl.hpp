// The pointwise divergences once more, in form kApart: for teacher and student that differ visibly, where
// nothing has to be kept from cancelling and each needs one logarithm at most.
#if defined(DISTILL_SIMD_POINTWISE_APART_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_POINTWISE_APART_INL_HPP
#undef DISTILL_SIMD_POINTWISE_APART_INL_HPP
#else
#define DISTILL_SIMD_POINTWISE_APART_INL_HPP
#endif

#include <distill/simd/pointwise-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One vector of classes on one scale: p = e / E and q = s / E, where E = Σ e, y = log2 e, x = log2 s. The
// ratio is x - y, but at one temperature from the difference of the logits, which is exact where they are
// near. An operator returns f and s u such that Σ f / E * kValueUnit is the value and s u / E * kSlopeUnit is
// q u.
template <class V>
struct ScaledPair {
  V e, s, y, x, ratio;
  V log2_sum;  // of E
};

struct ApartReverseKl {
  static constexpr double kValueUnit = kLn2, kSlopeUnit = kLn2;
  template <class D, class V>
  HWY_INLINE void operator()(D d, const ScaledPair<V>& r, V& f, V& su) const {
    f = su = ProductOrZero(d, r.s, r.ratio);
  }
};

// q u = q - p is left to the exponentials themselves.
struct ApartSoftCrossEntropy {
  static constexpr double kValueUnit = kLn2, kSlopeUnit = 0;
  template <class D, class V>
  HWY_INLINE void operator()(D d, const ScaledPair<V>& r, V& f, V& su) const {
    f = ProductOrZero(d, r.e, hn::Sub(r.log2_sum, r.x));
    su = hn::Zero(d);
  }
};

struct ApartTotalVariation {
  static constexpr double kValueUnit = 0.5, kSlopeUnit = 0.5;
  template <class D, class V>
  HWY_INLINE void operator()(D d, const ScaledPair<V>& r, V& f, V& su) const {
    f = hn::Abs(hn::Sub(r.s, r.e));
    // The sign is all there is to u: the ratio knows it better than a difference of rounded exponentials.
    su = hn::IfThenZeroElse(hn::Eq(r.ratio, hn::Zero(d)), hn::CopySign(r.s, r.ratio));
  }
};

struct ApartJensenShannon {
  static constexpr double kValueUnit = kLn2, kSlopeUnit = kLn2;
  double beta;
  template <class D, class V>
  HWY_INLINE void operator()(D d, const ScaledPair<V>& r, V& f, V& su) const {
    const V teacher = hn::Mul(hn::Set(d, static_cast<Real<D>>(beta)), r.e);
    const V student = hn::Mul(hn::Set(d, static_cast<Real<D>>(1 - beta)), r.s);
    const V log_m = Log2(d, hn::Add(teacher, student));
    su = ProductOrZero(d, student, hn::Sub(r.x, log_m));
    f = hn::Add(ProductOrZero(d, teacher, hn::Sub(r.y, log_m)), su);
  }
};

struct ApartSkewedForwardKl {
  static constexpr double kValueUnit = kLn2, kSlopeUnit = 1;
  double alpha;
  template <class D, class V>
  HWY_INLINE void operator()(D d, const ScaledPair<V>& r, V& f, V& su) const {
    const V rest = hn::Set(d, static_cast<Real<D>>(1 - alpha)), difference = hn::Sub(r.s, r.e);
    const V m = hn::MulAdd(rest, difference, r.e);
    f = ProductOrZero(d, r.e, hn::Sub(r.y, Log2(d, m)));
    // u = -(1 - α) p / m + (1 - α)
    const V factor = hn::Mul(hn::Mul(rest, rest), difference);
    su = ProductOrZero(d, r.s, hn::Div(factor, m));
  }
};

struct ApartSkewedReverseKl {
  static constexpr double kValueUnit = kLn2, kSlopeUnit = 1;
  double alpha;
  template <class D, class V>
  HWY_INLINE void operator()(D d, const ScaledPair<V>& r, V& f, V& su) const {
    const V share = hn::Set(d, static_cast<Real<D>>(alpha)), difference = hn::Sub(r.s, r.e);
    const V m = hn::MulAdd(share, difference, r.e);
    const V log_ratio = hn::Sub(r.x, Log2(d, m));
    f = ProductOrZero(d, r.s, log_ratio);
    // u = log(q / m) - α q / m + α
    const V factor = hn::Mul(hn::Set(d, static_cast<Real<D>>(alpha * (1 - alpha))), difference);
    const V slope = hn::MulSub(log_ratio, hn::Set(d, static_cast<Real<D>>(kLn2)), hn::Div(factor, m));
    su = ProductOrZero(d, r.s, slope);
  }
};

// α + β = 1, both positive: -1 / (αβ) Σ [p^α q^β - α p - β q], the last two parts being -1 in all.
struct ApartAlphaBeta {
  static constexpr double kValueUnit = 1, kSlopeUnit = 1;
  double alpha, beta;
  template <class D, class V>
  HWY_INLINE void operator()(D d, const ScaledPair<V>& r, V& f, V& su) const {
    const auto set = [&](double v) HWY_ATTR { return hn::Set(d, static_cast<Real<D>>(v)); };
    const V product = Exp2(d, hn::MulAdd(r.y, set(alpha), hn::Mul(r.x, set(beta))));
    su = hn::Mul(hn::Sub(r.s, product), set(1 / alpha));
    // The differences of the two mixtures to p^α q^β, which are of one size.
    f = hn::Mul(hn::MulAdd(set(alpha), hn::Sub(r.e, r.s), hn::Sub(r.s, product)), set(1 / (alpha * beta)));
  }
};

// Whether a term may be evaluated in form kApart: those with an operator here for their parameters, a share
// of a mixture not vanishing beside the other, and those that need none.
HWY_INLINE bool HasApartForm(const loss_term& term) {
  const auto is_mixed = [](double share) { return share >= 0x1p-10 && share <= 1 - 0x1p-10; };
  switch (term.kind) {
    case loss_kind::forward_kl:
    case loss_kind::reverse_kl:
    case loss_kind::soft_cross_entropy:
    case loss_kind::total_variation:
    case loss_kind::cross_entropy:
    case loss_kind::logit_mse:
      return true;
    case loss_kind::jensen_shannon:
      return is_mixed(term.beta);
    case loss_kind::skewed_forward_kl:
    case loss_kind::skewed_reverse_kl:
      return is_mixed(term.alpha);
    case loss_kind::alpha_beta:
      return term.alpha + term.beta == 1 && is_mixed(term.alpha);
    default:
      return false;
  }
}

// The value below which the digits of form kApart do not do.
HWY_INLINE double CloseValueOf(const loss_term& term) {
  const double scale = term.kind == loss_kind::alpha_beta ? 1 / (term.alpha * term.beta) : 1;
  return scale * kCloseValue;
}

// The operator of a loss, made from its term; NoOperator for one that needs none.
template <loss_kind kKind>
HWY_INLINE auto ApartOperatorOf([[maybe_unused]] const loss_term& term) {
  if constexpr (kKind == loss_kind::reverse_kl)
    return ApartReverseKl{};
  else if constexpr (kKind == loss_kind::jensen_shannon)
    return ApartJensenShannon{term.beta};
  else if constexpr (kKind == loss_kind::skewed_forward_kl)
    return ApartSkewedForwardKl{term.alpha};
  else if constexpr (kKind == loss_kind::skewed_reverse_kl)
    return ApartSkewedReverseKl{term.alpha};
  else if constexpr (kKind == loss_kind::total_variation)
    return ApartTotalVariation{};
  else if constexpr (kKind == loss_kind::alpha_beta)
    return ApartAlphaBeta{term.alpha, term.beta};
  else if constexpr (kKind == loss_kind::soft_cross_entropy)
    return ApartSoftCrossEntropy{};
  else
    return NoOperator{};
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
