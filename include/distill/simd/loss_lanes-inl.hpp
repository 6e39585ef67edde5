// Any term on as many rows as a vector has lanes, one row per lane: for few classes, and for column-major
// logits.
#if defined(DISTILL_SIMD_LOSS_LANES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_LOSS_LANES_INL_HPP
#undef DISTILL_SIMD_LOSS_LANES_INL_HPP
#else
#define DISTILL_SIMD_LOSS_LANES_INL_HPP
#endif

#include <distill/loss/row_job.hpp>
#include <distill/simd/lane_numbers-inl.hpp>
#include <distill/simd/loss_rows-inl.hpp>
#include <distill/simd/transpose-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::row_job;

// Classes added in the compute type before a sum is carried over to doubles.
inline constexpr size_t kBlockClasses = 16;

// A tile of logits, one row per lane: class c of all rows at data + c * pitch.
template <class T>
struct LaneTile {
  const T* data;
  ptrdiff_t pitch;
  template <class D>
  HWY_INLINE hn::Vec<D> Class(D d, size_t c) const {
    return hn::LoadU(d, data + static_cast<ptrdiff_t>(c) * pitch);
  }
};

// One tile: where its logits are, where its gradient goes, and what a term is given.
template <class D>
struct LaneRows {
  using T = Real<D>;
  LaneTile<T> student, teacher;
  T* exponentials;
  T* others;
  T* gradient;  // [classes][lanes] in scratch; null: value only
  size_t classes;
  bool add;
};

template <class D>
HWY_INLINE void StoreLaneGradient(D d, const LaneRows<D>& rows, size_t c, hn::Vec<D> v) {
  Real<D>* out = rows.gradient + c * hn::Lanes(d);
  hn::StoreU(rows.add ? hn::Add(hn::LoadU(d, out), v) : v, d, out);
}

template <class D>
HWY_INLINE hn::Vec<D> LaneMaximum(D d, const LaneTile<Real<D>>& tile, size_t classes) {
  auto maximum = tile.Class(d, 0);
  for (size_t c = 1; c < classes; ++c) maximum = hn::Max(maximum, tile.Class(d, c));
  return hn::IfThenZeroElse(hn::Eq(maximum, hn::Neg(hn::Inf(d))), maximum);
}

// The scale for lanes with these maxima.
template <bool kSame, class D, class V>
HWY_INLINE PairScaleVectors<V> LaneScaleFor(D d, V teacher_scale, V student_scale, V t, V z) {
  const V teacher_origin = hn::Neg(hn::Mul(t, teacher_scale)),
          student_origin = hn::Neg(hn::Mul(z, student_scale));
  (void)d;
  return {teacher_scale, student_scale, teacher_origin, student_origin,
          kSame ? hn::Sub(z, t) : hn::Sub(teacher_origin, student_origin)};
}

// With one class the probability is 1 whatever the logit: exactly, if the logit does not count.
template <class D>
HWY_INLINE hn::Vec<D> LaneScales(D d, const LaneRows<D>& rows, const Real<D>* scales) {
  return rows.classes > 1 ? hn::Load(d, scales) : hn::Zero(d);
}

template <bool kSame, class D>
HWY_INLINE PairScaleVectors<hn::Vec<D>> LaneScale(D d, const LaneRows<D>& rows,
                                                  const LaneNumbers<D>& numbers) {
  return LaneScaleFor<kSame>(
      d, LaneScales(d, rows, numbers.teacher_scale), LaneScales(d, rows, numbers.student_scale),
      LaneMaximum(d, rows.teacher, rows.classes), LaneMaximum(d, rows.student, rows.classes));
}

// Exponentials of the whole tile into scratch and their sums; `weighted` is Σ e log2(e / student's).
template <class D>
struct LanePairSums {
  LaneSums<D> teacher, other, weighted;
  HWY_INLINE explicit LanePairSums(D d) : teacher(d), other(d), weighted(d) {}
};

template <Form kForm, bool kSame, bool kMasked, class D>
HWY_INLINE LanePairSums<D> ExponentiateLanes(D d, const LaneRows<D>& rows,
                                             const PairScaleVectors<hn::Vec<D>>& scale) {
  using V = hn::Vec<D>;
  LanePairSums<D> sums(d);
  const size_t lanes = hn::Lanes(d);
  for (size_t begin = 0; begin < rows.classes; begin += kBlockClasses) {
    const size_t end = HWY_MIN(rows.classes, begin + kBlockClasses);
    V teacher = hn::Zero(d), other = hn::Zero(d), weighted = hn::Zero(d);
    for (size_t c = begin; c < end; ++c) {
      const V t = rows.teacher.Class(d, c), z = rows.student.Class(d, c);
      Pair<V> pair;
      if constexpr (kForm == Form::kApart) {
        pair = PairApart<true>(d, t, z, scale);
        pair.ratio = hn::MulSub(t, scale.teacher_scale, hn::Mul(z, scale.student_scale));
      } else {
        pair = PairClose<kSame, kMasked>(d, t, z, scale);
      }
      hn::StoreU(pair.teacher, d, rows.exponentials + c * lanes);
      hn::StoreU(pair.other, d, rows.others + c * lanes);
      if constexpr (kMasked) pair.ratio = hn::IfThenZeroElse(hn::Eq(t, hn::Neg(hn::Inf(d))), pair.ratio);
      teacher = hn::Add(teacher, pair.teacher);
      other = hn::Add(other, pair.other);
      weighted = hn::MulAdd(pair.teacher, pair.ratio, weighted);
    }
    sums.teacher.Add(d, teacher);
    sums.other.Add(d, other);
    sums.weighted.Add(d, weighted);
  }
  return sums;
}

// Values of kParts vectors of doubles to memory, one per lane.
template <class D, class F>
HWY_INLINE void StoreLaneValues(D, double* values, F part) {
  using Wide = typename LaneSums<D>::Wide;
  const Wide wide;
  hn::StoreU(part(std::integral_constant<size_t, 0>()), wide, values);
  if constexpr (LaneSums<D>::kParts == 2)
    hn::StoreU(part(std::integral_constant<size_t, 1>()), wide, values + hn::Lanes(wide));
}

// The same scale, and how far the log2 ratios of a lane span, in one visit.
template <bool kSame, class D>
HWY_INLINE PairScaleVectors<hn::Vec<D>> LaneScaleAndRange(D d, const LaneRows<D>& rows,
                                                          const LaneNumbers<D>& numbers,
                                                          hn::Vec<D>& ratio_range) {
  using V = hn::Vec<D>;
  const V teacher_scale = LaneScales(d, rows, numbers.teacher_scale),
          student_scale = LaneScales(d, rows, numbers.student_scale);
  const V lowest = hn::Neg(hn::Inf(d));
  V teacher = lowest, student = lowest, maximum = lowest, minimum = hn::Inf(d);
  for (size_t c = 0; c < rows.classes; ++c) {
    const V t = rows.teacher.Class(d, c), z = rows.student.Class(d, c);
    const V ratio = hn::MulSub(t, teacher_scale, hn::Mul(z, student_scale));
    teacher = hn::Max(teacher, t);
    student = hn::Max(student, z);
    maximum = hn::Max(maximum, ratio);
    minimum = hn::Min(minimum, ratio);
  }
  ratio_range = hn::Sub(maximum, minimum);
  return LaneScaleFor<kSame>(d, teacher_scale, student_scale,
                             hn::IfThenZeroElse(hn::Eq(teacher, lowest), teacher),
                             hn::IfThenZeroElse(hn::Eq(student, lowest), student));
}

// Of the values of all lanes.
template <class D>
HWY_INLINE bool AllLanesFinite(D, const double* values) {
  using Sums = LaneSums<D>;
  const typename Sums::Wide wide;
  bool finite = AllFinite(wide, hn::LoadU(wide, values));
  if constexpr (Sums::kParts == 2)
    finite = finite && AllFinite(wide, hn::LoadU(wide, values + hn::Lanes(wide)));
  return finite;
}

template <class D>
HWY_INLINE bool AnyLaneBelow(D, const double* values, double bound) {
  using Sums = LaneSums<D>;
  const typename Sums::Wide wide;
  const auto limit = hn::Set(wide, bound);
  bool any = !hn::AllFalse(wide, hn::Lt(hn::LoadU(wide, values), limit));
  if constexpr (Sums::kParts == 2)
    any = any || !hn::AllFalse(wide, hn::Lt(hn::LoadU(wide, values + hn::Lanes(wide)), limit));
  return any;
}

// Forward KL of all lanes in one form: values, and the factors of the gradient
// other * other_factor + teacher * teacher_factor.
template <Form kForm, bool kSame, class D>
HWY_INLINE void ForwardKlLanesAs(D d, const LaneRows<D>& rows, const PairScaleVectors<hn::Vec<D>>& scale,
                                 double* values, hn::Vec<D>& other_factor, hn::Vec<D>& teacher_factor) {
  using V = hn::Vec<D>;
  using Sums = LaneSums<D>;
  const typename Sums::Wide wide;
  constexpr std::integral_constant<size_t, 0> first;
  constexpr std::integral_constant<size_t, Sums::kParts - 1> last;
  auto sums = ExponentiateLanes<kForm, kSame, false>(d, rows, scale);
  if (!AllFinite(wide, sums.weighted.template Part<first>()) ||
      !AllFinite(wide, sums.weighted.template Part<last>()))
    sums = ExponentiateLanes<kForm, kSame, true>(d, rows, scale);
  Sums origin(d);
  if constexpr (kForm == Form::kApart) {
    origin.Add(d, scale.teacher_origin);
    origin.Add(d, hn::Neg(scale.student_origin));
  }
  StoreLaneValues(d, values, [&](auto part) HWY_ATTR {
    const auto teacher = sums.teacher.template Part<part()>(), other = sums.other.template Part<part()>();
    const auto norm = hn::Div(hn::Set(wide, 1.0), teacher);
    const auto difference = kForm == Form::kApart ? hn::Sub(other, teacher) : other;
    const auto log2_ratio =
        hn::MulAdd(sums.weighted.template Part<part()>(), norm, origin.template Part<part()>());
    const auto log_sum_ratio = Log1p<sizeof(Real<D>) == 8>(wide, hn::Mul(difference, norm));
    return hn::MulAdd(log2_ratio, hn::Set(wide, kLn2), log_sum_ratio);
  });
  const V teacher = Sums::Joined(d, sums.teacher.template Part<first>(), sums.teacher.template Part<last>());
  const V other = Sums::Joined(d, sums.other.template Part<first>(), sums.other.template Part<last>());
  const V one = hn::Set(d, Real<D>{1});
  if constexpr (kForm == Form::kApart) {
    other_factor = hn::Div(one, other);
    teacher_factor = hn::Neg(hn::Div(one, teacher));
  } else {
    other_factor = hn::Div(one, hn::Add(teacher, other));
    teacher_factor = hn::Neg(hn::Mul(hn::Div(other, teacher), other_factor));
  }
}

// Lanes are evaluated apart unless they are close: from the start, or judged by the value. Which form a lane
// gets does not depend on its neighbours.
template <bool kSame, class D>
HWY_INLINE void ForwardKlLanes(D d, const LaneNumbers<D>& numbers, LaneRows<D> rows, hn::Vec<D> factor,
                               double* values) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  const size_t lanes = hn::Lanes(d);
  V ratio_range;
  const auto scale = LaneScaleAndRange<kSame>(d, rows, numbers, ratio_range);
  const auto store = [&](V other_scale, V teacher_scale) HWY_ATTR {
    for (size_t c = 0; rows.gradient != nullptr && c < rows.classes; ++c) {
      const V e = hn::LoadU(d, rows.exponentials + c * lanes), other = hn::LoadU(d, rows.others + c * lanes);
      StoreLaneGradient(d, rows, c, hn::MulAdd(other, other_scale, hn::Mul(e, teacher_scale)));
    }
    rows.add = true;
  };
  // 1 in the lanes to be evaluated close, for comparison with 1.
  HWY_ALIGN T close[HWY_MAX_BYTES / sizeof(T)];
  HWY_ALIGN double close_values[HWY_MAX_BYTES / sizeof(T)];
  const V one = hn::Set(d, T{1}), limit = hn::Set(d, T{kCloseRange});
  const V from_start = hn::IfThenElseZero(hn::Le(ratio_range, limit), one);
  hn::Store(from_start, d, close);
  bool any_close = !hn::AllTrue(d, hn::Eq(from_start, hn::Zero(d)));
  const bool any_apart = !hn::AllTrue(d, hn::Eq(from_start, one));
  V other_factor, teacher_factor;
  if (any_apart) {
    ForwardKlLanesAs<Form::kApart, kSame>(d, rows, scale, values, other_factor, teacher_factor);
    if (AnyLaneBelow(d, values, kCloseValue)) {
      any_close = true;
      for (size_t i = 0; i < lanes; ++i)
        if (values[i] < kCloseValue) close[i] = 1;
    }
    const V zeroed = hn::IfThenZeroElse(hn::Eq(hn::Load(d, close), one), factor);
    store(hn::Mul(other_factor, zeroed), hn::Mul(teacher_factor, zeroed));
  }
  if (any_close) {
    ForwardKlLanesAs<Form::kClose, kSame>(d, rows, scale, close_values, other_factor, teacher_factor);
    for (size_t i = 0; i < lanes; ++i)
      if (!any_apart || close[i] == 1) values[i] = close_values[i];
    const V kept = hn::IfThenElseZero(hn::Eq(hn::Load(d, close), one), factor);
    store(hn::Mul(other_factor, kept), hn::Mul(teacher_factor, kept));
  }
  const typename LaneSums<D>::Wide wide;
  StoreLaneValues(d, values, [&](auto part) HWY_ATTR {
    const auto value = hn::LoadU(wide, values + part() * hn::Lanes(wide));
    return hn::Mul(hn::IfThenElse(hn::Lt(value, hn::Zero(wide)), hn::Zero(wide), value),
                   numbers.template Part<part()>(numbers.scale));
  });
}

template <bool kSame, class Op, class D>
HWY_INLINE void PointwiseLanes(Op op, D d, const LaneNumbers<D>& numbers, const LaneRows<D>& rows,
                               hn::Vec<D> factor, double* values) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  using Sums = LaneSums<D>;
  const typename Sums::Wide wide;
  const size_t lanes = hn::Lanes(d);
  const auto scale = LaneScale<kSame>(d, rows, numbers);
  const auto sums = ExponentiateLanes<Form::kClose, kSame, true>(d, rows, scale);
  const V teacher_sum = Sums::Joined(d, sums.teacher.template Part<0>(), sums.teacher.template Part<1>());
  const V difference_sum = Sums::Joined(d, sums.other.template Part<0>(), sums.other.template Part<1>());
  const V ln2 = hn::Set(d, static_cast<T>(kLn2)), one = hn::Set(d, T{1});
  const V teacher_norm = hn::Div(one, teacher_sum);
  const V student_norm = hn::Div(one, hn::Add(teacher_sum, difference_sum));
  const V excess = hn::Mul(difference_sum, teacher_norm);
  const V norm_difference = hn::Neg(hn::Mul(excess, student_norm));
  // In double, kept as two floats: an error here would be the same in every class, and would not cancel.
  const auto log_of_ratio = [&](auto part) HWY_ATTR {
    const auto norm = hn::Div(hn::Set(wide, 1.0), sums.teacher.template Part<part()>());
    return Log1p<sizeof(T) == 8>(wide, hn::Mul(sums.other.template Part<part()>(), norm));
  };
  constexpr std::integral_constant<size_t, 0> first;
  constexpr std::integral_constant<size_t, Sums::kParts - 1> last;
  const auto first_log = log_of_ratio(first), last_log = log_of_ratio(last);
  const V log_sum_ratio = Sums::Joined(d, first_log, last_log);
  Sums rounded(d);
  rounded.Add(d, log_sum_ratio);
  const V log_sum_ratio_rest = Sums::Joined(d, hn::Sub(first_log, rounded.template Part<first()>()),
                                            hn::Sub(last_log, rounded.template Part<last()>()));
  const V log_teacher_sum = Log1p(d, hn::Sub(teacher_sum, one));
  const V log_student_sum = hn::Add(log_teacher_sum, log_sum_ratio);
  Sums value(d), mean_slope(d);
  for (size_t begin = 0; begin < rows.classes; begin += kBlockClasses) {
    V value_block = hn::Zero(d), slope_block = hn::Zero(d);
    for (size_t c = begin; c < HWY_MIN(rows.classes, begin + kBlockClasses); ++c) {
      const V t = rows.teacher.Class(d, c), z = rows.student.Class(d, c);
      const V e = hn::LoadU(d, rows.exponentials + c * lanes),
              difference = hn::LoadU(d, rows.others + c * lanes);
      Probabilities<V> x;
      x.p = hn::Mul(e, teacher_norm);
      x.q = hn::Mul(hn::Add(e, difference), student_norm);
      x.difference = hn::MulAdd(difference, student_norm, hn::Mul(e, norm_difference));
      x.origin_log_ratio = hn::Mul(Log2Ratio<kSame>(d, t, z, scale), ln2);
      x.log_ratio = hn::Add(hn::Add(x.origin_log_ratio, log_sum_ratio_rest), log_sum_ratio);
      x.log_p = hn::MulSub(hn::MulAdd(t, scale.teacher_scale, scale.teacher_origin), ln2, log_teacher_sum);
      x.log_q = hn::MulSub(hn::MulAdd(z, scale.student_scale, scale.student_origin), ln2, log_student_sum);
      V f, qu;
      op(d, x, f, qu);
      value_block = hn::Add(value_block, f);
      slope_block = hn::Add(slope_block, qu);
      hn::StoreU(qu, d, rows.exponentials + c * lanes);
      hn::StoreU(x.q, d, rows.others + c * lanes);
    }
    value.Add(d, value_block);
    mean_slope.Add(d, slope_block);
  }
  // 0 where the norms are finite, NaN where a lane's logits have no softmax.
  const V poison = hn::Mul(hn::Zero(d), hn::Add(teacher_norm, student_norm));
  LaneSums<D> poison_sum(d);
  poison_sum.Add(d, poison);
  const auto zero = hn::Zero(wide);
  StoreLaneValues(d, values, [&](auto part) HWY_ATTR {
    const auto sum = hn::Add(value.template Part<part()>(), poison_sum.template Part<part()>());
    return hn::Mul(hn::IfThenElse(hn::Lt(sum, zero), zero, sum),
                   numbers.template Part<part()>(numbers.scale));
  });
  if (rows.gradient == nullptr) return;
  const V shift = Sums::Joined(d, mean_slope.template Part<0>(), mean_slope.template Part<1>());
  const V poisoned_factor = hn::Add(factor, poison);
  for (size_t c = 0; c < rows.classes; ++c) {
    const V qu = hn::LoadU(d, rows.exponentials + c * lanes), q = hn::LoadU(d, rows.others + c * lanes);
    StoreLaneGradient(d, rows, c, hn::Mul(poisoned_factor, hn::NegMulAdd(q, shift, qu)));
  }
}

// labels: the class of each lane, already checked.
template <class D>
HWY_NOINLINE void CrossEntropyLanes(D d, const loss_term& term, const LaneNumbers<D>& numbers,
                                    const LaneRows<D>& rows, hn::Vec<D> factor, const Real<D>* labels,
                                    double* values) {
  using T = Real<D>;
  using V = hn::Vec<D>;
  using Sums = LaneSums<D>;
  const typename Sums::Wide wide;
  const V label = hn::LoadU(d, labels), maximum = LaneMaximum(d, rows.student, rows.classes);
  const V scale = hn::Load(d, numbers.student_scale);
  Sums sum(d), logits(d);
  V own = hn::Zero(d);
  for (size_t begin = 0; begin < rows.classes; begin += kBlockClasses) {
    V block = hn::Zero(d), logit_block = hn::Zero(d);
    for (size_t c = begin; c < HWY_MIN(rows.classes, begin + kBlockClasses); ++c) {
      const V x = hn::Sub(rows.student.Class(d, c), maximum);
      const V e = Exp2(d, hn::Mul(x, scale));
      hn::StoreU(e, d, rows.exponentials + c * hn::Lanes(d));
      block = hn::Add(block, e);
      logit_block = hn::Add(logit_block, x);
      own = hn::IfThenElse(hn::Eq(label, hn::Set(d, static_cast<T>(c))), x, own);
    }
    sum.Add(d, block);
    logits.Add(d, logit_block);
  }
  const V total = Sums::Joined(d, sum.template Part<0>(), sum.template Part<1>());
  const V inverse = hn::Div(hn::Set(d, T{1}), total);
  const T smoothing = static_cast<T>(term.label_smoothing);
  Sums own_sum(d);
  own_sum.Add(d, hn::Mul(own, hn::Load(d, numbers.slope)));
  const auto confidence = hn::Set(wide, 1 - term.label_smoothing);
  const auto classes = hn::Set(wide, static_cast<double>(rows.classes));
  StoreLaneValues(d, values, [&](auto part) HWY_ATTR {
    const auto exponentials = sum.template Part<part()>();
    const auto one = hn::Set(wide, 1.0);
    const auto log_sum = Log1p(wide, hn::Sub(exponentials, one));
    auto value = hn::NegMulAdd(confidence, own_sum.template Part<part()>(), log_sum);
    if (smoothing > 0) {
      const auto uniform = hn::Div(hn::Set(wide, term.label_smoothing),
                                   hn::Mul(numbers.template Part<part()>(numbers.temperature), classes));
      value = hn::NegMulAdd(uniform, logits.template Part<part()>(), value);
    }
    return hn::MulAdd(hn::Zero(wide), hn::Div(one, exponentials), value);
  });
  if (rows.gradient == nullptr) return;
  const V shift = hn::Mul(factor, hn::Set(d, -smoothing / static_cast<T>(rows.classes)));
  const V hot = hn::Mul(factor, hn::Set(d, T{1} - smoothing));
  for (size_t c = 0; c < rows.classes; ++c) {
    const V e = hn::LoadU(d, rows.exponentials + c * hn::Lanes(d));
    const V target = hn::IfThenElseZero(hn::Eq(label, hn::Set(d, static_cast<T>(c))), hot);
    StoreLaneGradient(d, rows, c, hn::Sub(hn::MulAdd(e, hn::Mul(inverse, factor), shift), target));
  }
}

template <class D>
HWY_NOINLINE void LogitMseLanes(D d, const LaneRows<D>& rows, hn::Vec<D> factor, double* values) {
  using V = hn::Vec<D>;
  LaneSums<D> sum(d);
  const V twice = hn::Add(factor, factor);
  for (size_t c = 0; c < rows.classes; ++c) {
    const V difference = hn::Sub(rows.student.Class(d, c), rows.teacher.Class(d, c));
    sum.Add(d, hn::Mul(difference, difference));
    if (rows.gradient != nullptr) StoreLaneGradient(d, rows, c, hn::Mul(twice, difference));
  }
  StoreLaneValues(d, values, [&](auto part) HWY_ATTR { return sum.template Part<part()>(); });
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
