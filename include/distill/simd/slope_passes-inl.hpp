// Passes over one row that has been exponentiated: the value of one more loss, and what it adds to the
// gradient.
#if defined(DISTILL_SIMD_SLOPE_PASSES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_SLOPE_PASSES_INL_HPP
#undef DISTILL_SIMD_SLOPE_PASSES_INL_HPP
#else
#define DISTILL_SIMD_SLOPE_PASSES_INL_HPP
#endif

#include <distill/simd/pair_sums-inl.hpp>
#include <distill/simd/pointwise_apart-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What a pass does with its slopes times a factor.
enum class Slopes { kNone, kWrite, kAdd };

template <Slopes kSlopes, class D>
HWY_INLINE void PutSlope(D d, hn::Vec<D> slope, hn::Vec<D> factor, Real<D>* out) {
  if constexpr (kSlopes == Slopes::kWrite) hn::StoreU(hn::Mul(slope, factor), d, out);
  if constexpr (kSlopes == Slopes::kAdd) hn::StoreU(hn::MulAdd(slope, factor, hn::LoadU(d, out)), d, out);
}

// Calls f with the constant that slopes is.
template <class F>
HWY_INLINE auto WithSlopes(Slopes slopes, F f) {
  switch (slopes) {
    case Slopes::kWrite:
      return f(std::integral_constant<Slopes, Slopes::kWrite>());
    case Slopes::kAdd:
      return f(std::integral_constant<Slopes, Slopes::kAdd>());
    default:
      return f(std::integral_constant<Slopes, Slopes::kNone>());
  }
}

// A row of logits with its exponentials, and where slopes go: over one of these, or elsewhere.
template <class T>
struct ExponentiatedRow {
  const T* z;
  const T* t;
  size_t classes;
  T* exponentials;
  T* others;
  T* out;
  bool keeps_q;  // form kClose: q goes over the differences
};

// Two sums that are carried over to double together.
template <class D>
struct BlockSums {
  using V = hn::Vec<D>;
  WideSum<D> value, slope;
  V value_block, slope_block;

  HWY_INLINE explicit BlockSums(D d)
      : value(d), slope(d), value_block(hn::Zero(d)), slope_block(hn::Zero(d)) {}
  HWY_INLINE void Add(V f, V su) {
    value_block = hn::Add(value_block, f);
    slope_block = hn::Add(slope_block, su);
  }
  HWY_INLINE void Flush(D d) {
    value.Add(d, value_block);
    slope.Add(d, slope_block);
    value_block = slope_block = hn::Zero(d);
  }
};

struct PassSums {
  double value, slope;
};

// Form kApart: Σ f and Σ s u of an operator of pointwise_apart-inl.hpp, in its units.
template <bool kSame, Slopes kSlopes, class Op, class D>
HWY_NOINLINE PassSums ApartPass(Op op, D d, const ExponentiatedRow<Real<D>>& row,
                                const PairScale<Real<D>>& scale_in, const RowSums& sums, double factor) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const auto set = [&](double v) HWY_ATTR { return hn::Set(d, static_cast<T>(v)); };
  const double ratio = sums.teacher / sums.other;
  const double origin = static_cast<double>(scale_in.student_origin) + std::log2(ratio);
  const V k = set(factor), rescale = set(ratio), log2_sum = set(std::log2(sums.teacher));
  const V student_origin = set(origin),
          ratio_origin = set(origin - static_cast<double>(scale_in.teacher_origin));
  const auto scale = VectorsOf(d, scale_in);
  const ExponentiatedRow<T> r = row;
  BlockSums<D> result(d);
  ForEachVector(
      d, r.classes,
      [&](size_t j, size_t count) HWY_ATTR {
        const V t = LoadLogits(d, r.t + j, count), z = LoadLogits(d, r.z + j, count);
        ScaledPair<V> pair;
        pair.e = hn::LoadU(d, r.exponentials + j);
        pair.s = hn::Mul(hn::LoadU(d, r.others + j), rescale);
        pair.y = hn::MulAdd(t, scale.teacher_scale, scale.teacher_origin);
        pair.x = hn::MulAdd(z, scale.student_scale, student_origin);
        if constexpr (kSame)
          pair.ratio = hn::MulAdd(hn::Sub(z, t), scale.teacher_scale, ratio_origin);
        else
          pair.ratio =
              hn::NegMulAdd(t, scale.teacher_scale, hn::MulAdd(z, scale.student_scale, ratio_origin));
        pair.log2_sum = log2_sum;
        V f, su;
        op(d, pair, f, su);
        result.Add(f, su);
        PutSlope<kSlopes>(d, su, k, r.out + j);
      },
      [&]() HWY_ATTR { result.Flush(d); });
  return {result.value.Total(d), result.slope.Total(d)};
}

// Form kClose: Σ f and Σ q u of an operator of pointwise-inl.hpp.
template <bool kSame, Slopes kSlopes, class Op, class D>
HWY_NOINLINE PassSums ClosePass(Op op, D d, const ExponentiatedRow<Real<D>>& row,
                                const PairScale<Real<D>>& scale, const PairNorms& norms, double factor) {
  using V = hn::Vec<D>;
  const V k = hn::Set(d, static_cast<Real<D>>(factor));
  const ExponentiatedRow<Real<D>> r = row;
  BlockSums<D> result(d);
  ForEachProbability<Form::kClose, kSame>(
      d, {r.z, r.t, nullptr, r.classes, false}, scale, norms, {r.exponentials, r.others, nullptr},
      [&](size_t j, size_t, const Probabilities<V>& x) HWY_ATTR {
        V f, qu;
        op(d, x, f, qu);
        result.Add(f, qu);
        PutSlope<kSlopes>(d, qu, k, r.out + j);
        if (kSlopes != Slopes::kNone && r.keeps_q) hn::StoreU(x.q, d, r.others + j);
      },
      [&]() HWY_ATTR { result.Flush(d); });
  return {result.value.Total(d), result.slope.Total(d)};
}

// Exponentials of logits less their maximum, to out unless it is null.
struct SoftmaxSums {
  double exponentials, logits;  // the latter only if asked for
  double maximum;
};

template <bool kLogits, bool kStore, class D>
HWY_NOINLINE SoftmaxSums ExponentiatePass(D d, const Real<D>* z, size_t classes, double temperature,
                                          Real<D>* out) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const T maximum = MaximumOrZero(d, z, classes);
  const V scale = hn::Set(d, static_cast<T>(kLog2e / temperature)), reference = hn::Set(d, maximum);
  BlockSums<D> sums(d);
  ForEachVector(
      d, classes,
      [&](size_t j, size_t count) HWY_ATTR {
        const V x = hn::Sub(LoadLogits(d, z + j, count), reference);
        const V e = Exp2Fast(d, hn::Mul(x, scale));
        if constexpr (kStore) hn::StoreU(e, d, out + j);
        sums.Add(e, kLogits ? hn::IfThenElseZero(hn::FirstN(d, count), x) : hn::Zero(d));
      },
      [&]() HWY_ATTR { sums.Flush(d); });
  return {sums.value.Total(d), sums.slope.Total(d), static_cast<double>(maximum)};
}

// Σ (z - t)² and its slopes z - t.
template <Slopes kSlopes, class D>
HWY_NOINLINE double SquaredDifferencePass(D d, const ExponentiatedRow<Real<D>>& row, double factor) {
  using V = hn::Vec<D>;
  const V k = hn::Set(d, static_cast<Real<D>>(factor));
  const ExponentiatedRow<Real<D>> r = row;
  BlockSums<D> sums(d);
  ForEachVector(
      d, r.classes,
      [&](size_t j, size_t count) HWY_ATTR {
        const V difference = hn::Sub(LoadUpTo(d, r.z + j, count), LoadUpTo(d, r.t + j, count));
        sums.Add(hn::Mul(difference, difference), hn::Zero(d));
        PutSlope<kSlopes>(d, difference, k, r.out + j);
      },
      [&]() HWY_ATTR { sums.Flush(d); });
  return sums.value.Total(d);
}

// values *= factor
template <class D>
HWY_NOINLINE void ScalePass(D d, Real<D>* values, size_t classes, double factor) {
  const auto k = hn::Set(d, static_cast<Real<D>>(factor));
  for (size_t j = 0; j < classes; j += hn::Lanes(d))
    hn::StoreU(hn::Mul(hn::LoadU(d, values + j), k), d, values + j);
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
