// Forward KL on short contiguous rows: as many rows at a time as a vector has lanes.
//
// A short row's work is mostly what happens once a row: maxima, sums, divisions, a logarithm. Here these are
// done for a batch of rows at once, one row per lane, between passes over the classes that go along the rows.
#if defined(DISTILL_SIMD_FORWARD_KL_SHORT_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_FORWARD_KL_SHORT_INL_HPP
#undef DISTILL_SIMD_FORWARD_KL_SHORT_INL_HPP
#else
#define DISTILL_SIMD_FORWARD_KL_SHORT_INL_HPP
#endif

#include <distill/simd/forward_kl-inl.hpp>
#include <distill/simd/loss_lanes-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A vector for each row of a batch, to be reduced to one number for each.
template <class D>
struct RowVectors {
  static constexpr size_t kMaxLanes = HWY_MAX_BYTES / sizeof(Real<D>);
  HWY_ALIGN Real<D> lanes[kMaxLanes * kMaxLanes];

  HWY_INLINE void Set(D d, size_t row, hn::Vec<D> v) { hn::Store(v, d, lanes + row * hn::Lanes(d)); }

  // All lanes of row r combined in lane r, for the first `rows` rows.
  template <class F>
  HWY_INLINE hn::Vec<D> Reduced([[maybe_unused]] D d, [[maybe_unused]] size_t rows, F combine) const {
#if HWY_TARGET == HWY_SCALAR
    (void)combine;
    return hn::Load(d, lanes);
#elif HWY_TARGET <= HWY_AVX3
    // Rows 0 and 8 on, rows 4 and 12 on; two blocks to a row.
    const auto even = Eight(d, 0, rows, combine), odd = Eight(d, 4, rows, combine);
    return combine(hn::OddEvenBlocks(odd, even), hn::SwapAdjacentBlocks(hn::OddEvenBlocks(even, odd)));
#elif HWY_TARGET == HWY_AVX2
    const auto lower = Four(d, 0, combine), upper = rows > 4 ? Four(d, 4, combine) : lower;
    return combine(hn::ConcatLowerLower(d, upper, lower), hn::ConcatUpperUpper(d, upper, lower));
#else
    return Four(d, 0, combine);
#endif
  }

 private:
#if HWY_TARGET != HWY_SCALAR
  // In each 128-bit block, what that block of rows row..row + 3 comes to.
  template <class F>
  HWY_INLINE hn::Vec<D> Four(D d, size_t row, F combine) const {
    const hn::RepartitionToWide<D> wide;
    const size_t n = hn::Lanes(d);
    const Real<D>* p = lanes + row * n;
    const auto a = hn::Load(d, p), b = hn::Load(d, p + n), c = hn::Load(d, p + 2 * n),
               e = hn::Load(d, p + 3 * n);
    const auto ab = hn::BitCast(wide, combine(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b)));
    const auto ce = hn::BitCast(wide, combine(hn::InterleaveLower(d, c, e), hn::InterleaveUpper(d, c, e)));
    return combine(hn::BitCast(d, hn::InterleaveLower(wide, ab, ce)),
                   hn::BitCast(d, hn::InterleaveUpper(wide, ab, ce)));
  }
#endif
#if HWY_TARGET <= HWY_AVX3
  // Rows first..first + 3 in the lower half, first + 8..first + 11 in the upper, with two of their four
  // blocks left.
  template <class F>
  HWY_INLINE hn::Vec<D> Eight(D d, size_t first, size_t rows, F combine) const {
    const auto lower = rows > first ? Four(d, first, combine) : hn::Zero(d);
    const auto upper = rows > first + 8 ? Four(d, first + 8, combine) : hn::Zero(d);
    return combine(hn::ConcatLowerLower(d, upper, lower), hn::ConcatUpperUpper(d, upper, lower));
  }
#endif
};

template <class D, class Student, class Teacher, class Gradient>
class ForwardKlShortRows {
  using T = Real<D>;
  using V = hn::Vec<D>;
  static constexpr D d{};
  static constexpr size_t kMaxLanes = RowVectors<D>::kMaxLanes;
  static constexpr size_t kRatioSample = 32;
  using LongRows = ForwardKlRows<D, Student, Teacher, Gradient>;

 public:
  ForwardKlShortRows(const row_job& job, T* HWY_RESTRICT scratch)
      : job_(job), pair_(job.terms[0]), n_(job.classes()), scratch_(scratch), long_rows_(job, scratch) {
    // As many rows as stay in the first-level cache with their exponentials and gradients.
    batch_ = HWY_MIN(hn::Lanes(d), n_ <= 160 ? size_t{16} : n_ <= 256 ? size_t{8} : size_t{4});
    if (!job.terms[0].varies_by_row())
      for (size_t r = 0; r < kMaxLanes; ++r) numbers_.Set(r, job.terms[0], job.factors[0]);
  }

  void Run(size_t begin, size_t end) {
    size_t rows[kMaxLanes];
    size_t count = 0;
    for (size_t row = begin; row < end; ++row) {
      if (job_.weight(row) == 0) {
        job_.loss(0, row) = 0;
        if (job_.gradient.data != nullptr && !job_.accumulate) StoreZeroRow(job_.gradient, row);
        continue;
      }
      rows[count++] = row;
      if (count == batch_) {
        Batch(rows, count);
        count = 0;
      }
    }
    if (count > 0) Batch(rows, count);
  }

 private:
  void Batch(const size_t* rows, size_t count) {
    if (job_.terms[0].varies_by_row())
      for (size_t r = 0; r < count; ++r) numbers_.Set(r, pair_.at(rows[r]), job_.factors[0]);
    const bool store = job_.gradient.data != nullptr;
    if (numbers_.same)
      store ? Evaluate<true, true>(rows, count) : Evaluate<true, false>(rows, count);
    else
      store ? Evaluate<false, true>(rows, count) : Evaluate<false, false>(rows, count);
  }

  template <class U>
  static const U* RowOf(const detail::input_matrix& m, size_t row) {
    return static_cast<const U*>(m.data) + static_cast<ptrdiff_t>(row) * m.row_stride;
  }
  template <class U>
  V Logits(const U* p, size_t j) const {
    const size_t count = n_ - j;
    if (count >= hn::Lanes(d)) return LoadAs(d, p + j);
    return hn::IfThenElse(hn::FirstN(d, count), LoadPart(d, p + j, count), hn::Neg(hn::Inf(d)));
  }
  // Two scratch rows for each row of the batch.
  T* Exponentials(size_t r) const { return scratch_ + 2 * r * job_.scratch.pitch; }
  T* Others(size_t r) const { return Exponentials(r) + job_.scratch.pitch; }

  // The temperatures of the rows of a batch, one per lane: all rows have one for teacher and student, or
  // none.
  struct Numbers {
    HWY_ALIGN T teacher_scale[kMaxLanes] = {};
    HWY_ALIGN T student_scale[kMaxLanes] = {};
    HWY_ALIGN T slope[kMaxLanes] = {};            // on q - p, but for the weight
    HWY_ALIGN double ratio_unit[kMaxLanes] = {};  // of log2 ratios in form kApart
    HWY_ALIGN double scale[kMaxLanes] = {};
    bool same = false;

    void Set(size_t r, const loss_term& term, double factor) {
      const PairScale<T> pair = ScaleOf<T>(term);
      teacher_scale[r] = pair.teacher_scale;
      student_scale[r] = pair.student_scale;
      slope[r] = static_cast<T>(factor * term.scale() / term.temperature);
      scale[r] = term.scale();
      same = term.temperature == term.teacher_temperature;
      ratio_unit[r] = same ? static_cast<double>(pair.teacher_scale) : 1;
    }
  };

  // Origins of all rows, one per lane, and which of them are close from the start.
  struct Origins {
    HWY_ALIGN T teacher[kMaxLanes];
    HWY_ALIGN T student[kMaxLanes];
    HWY_ALIGN T ratio[kMaxLanes];
    HWY_ALIGN T close[kMaxLanes];  // 1 or 0
  };

  template <bool kSame>
  HWY_INLINE void FindOrigins(const size_t* rows, size_t count, Origins& origins) {
    const V lowest = hn::Neg(hn::Inf(d));
    for (size_t r = 0; r < count; ++r) {
      [[maybe_unused]] const V of_teacher = hn::Set(d, numbers_.teacher_scale[r]);
      [[maybe_unused]] const V of_student = hn::Set(d, numbers_.student_scale[r]);
      const Teacher* t = RowOf<Teacher>(job_.teacher, rows[r]);
      const Student* z = RowOf<Student>(job_.student, rows[r]);
      V teacher_maximum = lowest, student_maximum = lowest, ratio_maximum = lowest,
        ratio_minimum = hn::Inf(d);
      size_t j = 0;
      for (; j + hn::Lanes(d) <= HWY_MIN(n_, kRatioSample); j += hn::Lanes(d)) {
        const V tv = LoadAs(d, t + j), zv = LoadAs(d, z + j);
        teacher_maximum = hn::Max(teacher_maximum, tv);
        student_maximum = hn::Max(student_maximum, zv);
        const V ratio = kSame ? hn::Sub(tv, zv) : hn::MulSub(tv, of_teacher, hn::Mul(zv, of_student));
        ratio_maximum = hn::Max(ratio_maximum, ratio);
        ratio_minimum = hn::Min(ratio_minimum, ratio);
      }
      for (; j + hn::Lanes(d) <= n_; j += hn::Lanes(d)) {
        teacher_maximum = hn::Max(teacher_maximum, LoadAs(d, t + j));
        student_maximum = hn::Max(student_maximum, LoadAs(d, z + j));
      }
      teacher_.Set(d, r, teacher_maximum);
      student_.Set(d, r, student_maximum);
      ratio_.Set(d, r, ratio_maximum);
      minimum_.Set(d, r, ratio_minimum);
    }
    const auto maximum = [](auto a, auto b) HWY_ATTR { return hn::Max(a, b); };
    const auto minimum = [](auto a, auto b) HWY_ATTR { return hn::Min(a, b); };
    const V lowest_origin = hn::Set(d, T{-3e38f});  // a row of -inf must not make the origin infinite
    const V t = hn::Max(lowest_origin, teacher_.Reduced(d, count, maximum));
    const V z = hn::Max(lowest_origin, student_.Reduced(d, count, maximum));
    const V teacher_scale = hn::Load(d, numbers_.teacher_scale),
            student_scale = hn::Load(d, numbers_.student_scale);
    const V range = hn::Sub(ratio_.Reduced(d, count, maximum), minimum_.Reduced(d, count, minimum));
    const V teacher_origin = hn::Neg(hn::Mul(t, teacher_scale)),
            student_origin = hn::Neg(hn::Mul(z, student_scale));
    hn::Store(teacher_origin, d, origins.teacher);
    hn::Store(student_origin, d, origins.student);
    hn::Store(kSame ? hn::Sub(z, t) : hn::Sub(teacher_origin, student_origin), d, origins.ratio);
    const auto close = hn::Le(kSame ? hn::Mul(range, teacher_scale) : range, hn::Set(d, T{kCloseRange}));
    hn::Store(hn::IfThenElseZero(close, hn::Set(d, T{1})), d, origins.close);
  }

  template <Form kForm, bool kSame, bool kStore>
  HWY_INLINE PairSums<V> StreamRow(size_t r, size_t row, const PairScaleVectors<V>& scale) const {
    const Teacher* t = RowOf<Teacher>(job_.teacher, row);
    const Student* z = RowOf<Student>(job_.student, row);
    T* const e = Exponentials(r);
    T* const other = Others(r);
    PairSums<V> sums{hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    // The row of the next batch is on its way while this one is computed.
    const size_t next = HWY_MIN(row + batch_, job_.rows() - 1);
    const Teacher* const next_t = RowOf<Teacher>(job_.teacher, next);
    const Student* const next_z = RowOf<Student>(job_.student, next);
    size_t j = 0;
    for (; j + hn::Lanes(d) <= n_; j += hn::Lanes(d)) {
      hwy::Prefetch(next_t + j);
      hwy::Prefetch(next_z + j);
      StreamVector<kForm, kSame, false, kStore>(d, LoadAs(d, t + j), LoadAs(d, z + j), scale, e + j,
                                                other + j, sums);
    }
    if (j < n_)
      StreamVector<kForm, kSame, true, kStore>(d, Logits(t, j), Logits(z, j), scale, e + j, other + j, sums);
    return sums;
  }

  template <bool kSame, bool kStore>
  HWY_NOINLINE void Evaluate(const size_t* rows, size_t count) {
    Origins origins = {};
    FindOrigins<kSame>(rows, count, origins);
    for (size_t r = 0; r < count; ++r) {
      const PairScaleVectors<V> vectors{hn::Set(d, numbers_.teacher_scale[r]),
                                        hn::Set(d, numbers_.student_scale[r]), hn::Set(d, origins.teacher[r]),
                                        hn::Set(d, origins.student[r]), hn::Set(d, origins.ratio[r])};
      const auto sums = origins.close[r] != 0 ? StreamRow<Form::kClose, kSame, kStore>(r, rows[r], vectors)
                                              : StreamRow<Form::kApart, kSame, kStore>(r, rows[r], vectors);
      teacher_.Set(d, r, sums.teacher);
      student_.Set(d, r, sums.other);
      ratio_.Set(d, r, sums.weighted);
    }
    Results results = {};
    Resolve(rows, count, origins, results);
    if constexpr (kStore)
      for (size_t r = 0; r < count; ++r)
        if (!results.fallback[r])
          StoreGradient(r, rows[r], results.other_factor[r], results.teacher_factor[r]);
    for (size_t r = 0; r < count; ++r)
      if (results.fallback[r]) long_rows_.Run(rows[r], rows[r] + 1);
  }

  struct Results {
    HWY_ALIGN T other_factor[kMaxLanes];
    HWY_ALIGN T teacher_factor[kMaxLanes];
    bool fallback[kMaxLanes];  // to be evaluated by itself: not finite, or close after all
  };

  // From sums to losses and gradient factors; see forward_kl-inl.hpp for the formulas.
  HWY_INLINE void Resolve(const size_t* rows, size_t count, const Origins& origins, Results& results) {
    const auto add = [](auto a, auto b) HWY_ATTR { return hn::Add(a, b); };
    const V one = hn::Set(d, T{1});
    const V close_lanes = hn::Load(d, origins.close);
    const auto close = hn::Eq(close_lanes, one);
    V weights = one;
    if (!job_.weights.empty()) {
      HWY_ALIGN T lanes[kMaxLanes] = {};
      for (size_t r = 0; r < count; ++r) lanes[r] = job_.weight(rows[r]);
      weights = hn::Load(d, lanes);
    }
    const V teacher = teacher_.Reduced(d, count, add), other = student_.Reduced(d, count, add),
            weighted = ratio_.Reduced(d, count, add);
    const V student = hn::IfThenElse(close, hn::Add(teacher, other), other);
    const V difference = hn::IfThenElse(close, other, hn::Sub(other, teacher));
    const V norm = hn::Div(one, student);
    const V factor = hn::Mul(hn::Mul(weights, hn::Load(d, numbers_.slope)), norm);
    // q - p = other * other_factor + teacher * teacher_factor, up to the factor.
    hn::Store(factor, d, results.other_factor);
    const V toward = hn::IfThenElse(close, difference, student);
    hn::Store(hn::Neg(hn::Mul(hn::Div(toward, teacher), factor)), d, results.teacher_factor);
    LaneSums<D> teacher_sum(d), difference_sum(d), weighted_sum(d), origin(d), close_sum(d);
    teacher_sum.Add(d, teacher), difference_sum.Add(d, difference), weighted_sum.Add(d, weighted);
    origin.Add(d, hn::IfThenZeroElse(close, hn::Load(d, origins.teacher)));
    origin.Add(d, hn::IfThenZeroElse(close, hn::Neg(hn::Load(d, origins.student))));
    close_sum.Add(d, close_lanes);
    const typename LaneSums<D>::Wide wide;
    HWY_ALIGN double values[kMaxLanes] = {};
    StoreLaneValues(d, values, [&](auto part) HWY_ATTR {
      const auto inverse = hn::Div(hn::Set(wide, 1.0), teacher_sum.template Part<part()>());
      const auto unit =
          hn::IfThenElse(hn::Eq(close_sum.template Part<part()>(), hn::Zero(wide)),
                         hn::LoadU(wide, numbers_.ratio_unit + part() * hn::Lanes(wide)), hn::Set(wide, 1.0));
      const auto log2_ratio = hn::MulAdd(hn::Mul(weighted_sum.template Part<part()>(), inverse), unit,
                                         origin.template Part<part()>());
      const auto excess = hn::Mul(difference_sum.template Part<part()>(), inverse);
      return hn::MulAdd(log2_ratio, hn::Set(wide, kLn2), Log1p<false>(wide, excess));
    });
    HWY_ALIGN T largest[kMaxLanes] = {};
    const V larger = hn::Max(teacher, student);
    hn::Store(larger, d, largest);
    const T limit = T{kLargestLaneSum};
    const bool all_within = hn::AllTrue(d, hn::Le(larger, hn::Set(d, limit))) && AllLanesFinite(d, values);
    if (count == hn::Lanes(d) && all_within && !AnyLaneBelow(d, values, kCloseValue)) {
      for (size_t r = 0; r < count; ++r) job_.loss(0, rows[r]) = values[r] * numbers_.scale[r];
      return;
    }
    for (size_t r = 0; r < count; ++r) {
      const bool close_after_all = origins.close[r] == 0 && values[r] < kCloseValue;
      results.fallback[r] = !(largest[r] <= limit) || !std::isfinite(values[r]) || close_after_all;
      job_.loss(0, rows[r]) = HWY_MAX(values[r], 0.0) * numbers_.scale[r];
    }
  }

  HWY_INLINE void StoreGradient(size_t r, size_t row, T other_factor, T teacher_factor) const {
    const T* e = Exponentials(r);
    const T* other = Others(r);
    Gradient* g =
        static_cast<Gradient*>(job_.gradient.data) + static_cast<ptrdiff_t>(row) * job_.gradient.row_stride;
    const V other_v = hn::Set(d, other_factor), teacher_v = hn::Set(d, teacher_factor);
    const auto slope = [&](size_t j) HWY_ATTR {
      return hn::MulAdd(hn::LoadU(d, other + j), other_v, hn::Mul(hn::LoadU(d, e + j), teacher_v));
    };
    size_t j = 0;
    for (; j + hn::Lanes(d) <= n_; j += hn::Lanes(d)) StoreAs(d, slope(j), g + j);
    if (j < n_) StorePart(d, slope(j), g + j, n_ - j);
  }

  const row_job& job_;
  detail::row_term pair_;
  const size_t n_;
  size_t batch_;
  T* HWY_RESTRICT const scratch_;
  LongRows long_rows_;
  RowVectors<D> teacher_, student_, ratio_, minimum_;
  Numbers numbers_;
};

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
