// Rows of teacher and student logits in one pass: exponentials to scratch, sums, and the gradient of the row
// before.
#if defined(DISTILL_SIMD_PAIR_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_PAIR_ROWS_INL_HPP
#undef DISTILL_SIMD_PAIR_ROWS_INL_HPP
#else
#define DISTILL_SIMD_PAIR_ROWS_INL_HPP
#endif

#include <distill/simd/pair_sums-inl.hpp>
#include <distill/simd/row_gradient-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// How far the exponentials of a block may grow, summed per lane, before the row is rescaled: an exponent's
// rounding error grows with its size.
inline constexpr float kLargestLaneSum = 2048;

// How the inputs are fetched ahead: not at all in cache; to the second level where the scratch rows fit it;
// past the caches where they do not.
enum class Prefetching { kNone, kNear, kFar };

// The one text of that pass, for what derives from it to make values and gradients of.
template <class D, class Student, class Teacher, class Gradient>
class PairRows {
 protected:
  using T = Real<D>;
  using V = hn::Vec<D>;
  static constexpr D d{};

  // term: any of the job's with the temperatures of the pair.
  PairRows(const row_job& job, const loss_term& term, T* scratch)
      : job_(job),
        n_(job.classes()),
        exponentials_(scratch),
        others_(scratch + job.scratch.pitch),
        gradient_(job, scratch),
        pair_(term),
        scale_(ScaleOf<T>(term)),
        varies_(term.varies_by_row()) {
    const size_t bytes = n_ * sizeof(T);
    prefetching_ = bytes < size_t{16} << 10    ? Prefetching::kNone
                   : bytes < size_t{192} << 10 ? Prefetching::kNear
                                               : Prefetching::kFar;
    if (job.scratch.student >= 0) student_copy_ = scratch + job.scratch.student * job.scratch.pitch;
    if (job.scratch.teacher >= 0) teacher_copy_ = scratch + job.scratch.teacher * job.scratch.pitch;
  }

  const Student* StudentRow(size_t row) {
    if constexpr (std::is_same_v<Student, T>)
      return RowAs<T>(job_.student, row, student_copy_);
    else
      return static_cast<const Student*>(job_.student.data) +
             static_cast<ptrdiff_t>(row) * job_.student.row_stride;
  }
  const Teacher* TeacherRow(size_t row) {
    if constexpr (std::is_same_v<Teacher, T>)
      return RowAs<T>(job_.teacher, row, teacher_copy_);
    else
      return static_cast<const Teacher*>(job_.teacher.data) +
             static_cast<ptrdiff_t>(row) * job_.teacher.row_stride;
  }

  template <class U>
  static V LoadLogitsAs(const U* p, size_t count) {
    if (count == hn::Lanes(d)) return LoadAs(d, p);
    return hn::IfThenElse(hn::FirstN(d, count), LoadPart(d, p, count), hn::Neg(hn::Inf(d)));
  }

  template <class U>
  static T Maximum(const U* p, size_t n) {
    V maximum = hn::Neg(hn::Inf(d));
    ForEachVector(d, n, [&](size_t j, size_t count) HWY_ATTR {
      maximum = hn::Max(maximum, LoadLogitsAs(p + j, count));
    });
    const T result = hn::GetLane(hn::MaxOfLanes(d, maximum));
    return std::isinf(result) ? T{0} : result;
  }

  // ---- streaming
  template <Prefetching kPrefetching>
  static HWY_INLINE void Fetch(const Student* z, const Teacher* t) {
    constexpr ptrdiff_t kAhead = kPrefetching == Prefetching::kNear ? 4096 : 3072;
    constexpr int kLocality = kPrefetching == Prefetching::kNear ? 2 : 0;
    if constexpr (kPrefetching != Prefetching::kNone) {
      __builtin_prefetch(reinterpret_cast<const char*>(t) + kAhead, 0, kLocality);
      __builtin_prefetch(reinterpret_cast<const char*>(z) + kAhead, 0, kLocality);
    }
  }

  // Vectors of [begin, end) of a row, the last possibly partial.
  template <Form kForm, bool kSame, bool kMasked, bool kStore, Prefetching kPrefetching>
  HWY_NOINLINE void StreamPlain(const Student* z, const Teacher* t, size_t begin, size_t end,
                                const PairScaleVectors<V>& scale_in, PairSums<V>& sums_out) const {
    const size_t lanes = hn::Lanes(d);
    const PairScaleVectors<V> scale = scale_in;
    PairSums<V> sums = sums_out;
    T* const e = exponentials_;
    T* const other = others_;
    size_t j = begin;
    for (; j + lanes <= end; j += lanes) {
      Fetch<kPrefetching>(z + j, t + j);
      StreamVector<kForm, kSame, kMasked, kStore>(d, LoadAs(d, t + j), LoadAs(d, z + j), scale, e + j,
                                                  other + j, sums);
    }
    // Past the end both logits are -inf.
    if (j < end)
      StreamVector<kForm, kSame, true, kStore>(d, LoadLogitsAs(t + j, end - j), LoadLogitsAs(z + j, end - j),
                                               scale, e + j, other + j, sums);
    sums_out = sums;
  }

  // The same for whole vectors, finishing the row before a head ahead.
  template <Form kForm, bool kSame, bool kThird, bool kBypass, Prefetching kPrefetching>
  HWY_NOINLINE void StreamFinishing(const Student* z, const Teacher* t, size_t begin, size_t end,
                                    const PairScaleVectors<V>& scale_in, PairSums<V>& sums_out) const {
    const size_t lanes = hn::Lanes(d);
    const size_t head = gradient_.Head();
    const PairScaleVectors<V> scale = scale_in;
    const auto finish = gradient_.template Finishing<kThird>();
    PairSums<V> sums = sums_out;
    T* const e = exponentials_;
    T* const other = others_;
    for (size_t j = begin; j < end; j += lanes) {
      Fetch<kPrefetching>(z + j, t + j);
      const V teacher = LoadAs(d, t + j), student = LoadAs(d, z + j);
      finish.template Vector<kBypass>(j + head);
      StreamVector<kForm, kSame, false, true>(d, teacher, student, scale, e + j, other + j, sums);
    }
    sums_out = sums;
  }

  template <Form kForm, bool kSame, bool kThird>
  HWY_INLINE void StreamFinishing(const Student* z, const Teacher* t, size_t begin, size_t end,
                                  const PairScaleVectors<V>& scale, PairSums<V>& sums) const {
    if (gradient_.BypassesCache() && prefetching_ == Prefetching::kNear)
      StreamFinishing<kForm, kSame, kThird, true, Prefetching::kNear>(z, t, begin, end, scale, sums);
    else if (gradient_.BypassesCache())
      StreamFinishing<kForm, kSame, kThird, true, Prefetching::kFar>(z, t, begin, end, scale, sums);
    else if (prefetching_ == Prefetching::kNone)
      StreamFinishing<kForm, kSame, kThird, false, Prefetching::kNone>(z, t, begin, end, scale, sums);
    else
      StreamFinishing<kForm, kSame, kThird, false, Prefetching::kNear>(z, t, begin, end, scale, sums);
  }

  // again: the block was streamed before, so the part of the row before that lies in it is finished.
  template <Form kForm, bool kSame, bool kStore>
  HWY_INLINE void StreamBlock(const Student* z, const Teacher* t, size_t begin, size_t end, bool masked,
                              bool again, const PairScaleVectors<V>& scale, PairSums<V>& sums) {
    sums = {hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    if constexpr (kStore) {
      if (gradient_.IsPending() && !again) {
        const size_t lanes = hn::Lanes(d), head = gradient_.Head();
        const size_t whole = (n_ - head) / lanes * lanes;  // what both rows have as whole vectors
        const size_t both = HWY_MAX(begin, HWY_MIN(end, whole));
        if (std::is_same_v<Gradient, T> && gradient_.HasThird())
          StreamFinishing<kForm, kSame, std::is_same_v<Gradient, T>>(z, t, begin, both, scale, sums);
        else
          StreamFinishing<kForm, kSame, false>(z, t, begin, both, scale, sums);
        if (end == n_ || both < end) gradient_.FinishRest(head + both);
        begin = both;
      }
    }
    if (masked)
      StreamPlain<kForm, kSame, true, kStore, Prefetching::kNone>(z, t, begin, end, scale, sums);
    else if (!kStore || prefetching_ == Prefetching::kNone)
      StreamPlain<kForm, kSame, false, kStore, Prefetching::kNone>(z, t, begin, end, scale, sums);
    else if (prefetching_ == Prefetching::kNear)
      StreamPlain<kForm, kSame, false, kStore, Prefetching::kNear>(z, t, begin, end, scale, sums);
    else
      StreamPlain<kForm, kSame, false, kStore, Prefetching::kFar>(z, t, begin, end, scale, sums);
  }

  // Moves the origins to the maxima over the rest of the row; what was accumulated before follows.
  template <Form kForm>
  HWY_NOINLINE void Raise(const Student* z, const Teacher* t, size_t begin, PairScale<T>& scale,
                          RowSums& sums, bool stored) const {
    const PairScale<T> old = scale;
    T teacher_excess = HWY_MAX(Maximum(t + begin, n_ - begin) * old.teacher_scale + old.teacher_origin, T{0});
    T student_excess = HWY_MAX(Maximum(z + begin, n_ - begin) * old.student_scale + old.student_origin, T{0});
    // Nearly equal rows keep their common frame.
    if (kForm == Form::kClose && std::abs(teacher_excess - student_excess) <= 8)
      teacher_excess = student_excess = HWY_MAX(teacher_excess, student_excess);
    scale.teacher_origin = old.teacher_origin - teacher_excess;
    scale.student_origin = old.student_origin - student_excess;
    if (teacher_excess != student_excess)
      scale.ratio_origin += (student_excess - teacher_excess) / (scale.IsSame() ? scale.teacher_scale : T{1});
    const double teacher_power = static_cast<double>(scale.teacher_origin) - old.teacher_origin;
    const double ratio_power = scale.Log2RatioOrigin() - old.Log2RatioOrigin();
    const double student_power = kForm == Form::kClose
                                     ? teacher_power - ratio_power
                                     : static_cast<double>(scale.student_origin) - old.student_origin;
    const double teacher_factor = std::exp2(teacher_power), student_factor = std::exp2(student_power);
    const double mixed = kForm == Form::kClose ? student_factor - teacher_factor : 0;
    sums.weighted =
        teacher_factor * (sums.weighted + (kForm == Form::kClose ? sums.teacher * ratio_power : 0));
    sums.other = sums.other * student_factor + sums.teacher * mixed;
    sums.teacher *= teacher_factor;
    if (!stored) return;
    const V teacher_v = hn::Set(d, static_cast<T>(teacher_factor));
    const V student_v = hn::Set(d, static_cast<T>(student_factor)),
            mixed_v = hn::Set(d, static_cast<T>(mixed));
    for (size_t j = 0; j < begin; j += hn::Lanes(d)) {
      const V e = hn::LoadU(d, exponentials_ + j), other = hn::LoadU(d, others_ + j);
      hn::StoreU(hn::Mul(e, teacher_v), d, exponentials_ + j);
      hn::StoreU(hn::MulAdd(other, student_v, hn::Mul(e, mixed_v)), d, others_ + j);
    }
  }

  template <Form kForm, bool kSame, bool kStore>
  RowSums StreamRow(const Student* z, const Teacher* t, PairScale<T>& scale) {
    if (kStore && gradient_.IsPending()) gradient_.FinishHead();
    RowSums sums;
    WideSum<D> teacher(d), other(d), weighted(d);
    bool masked = false, raised = false;
    const size_t block = kBlockVectors * hn::Lanes(d);
    for (size_t begin = 0; begin < n_; begin += block) {
      const size_t end = HWY_MIN(n_, begin + block);
      PairSums<V> part;
      for (bool again = false;; again = true) {
        StreamBlock<kForm, kSame, kStore>(z, t, begin, end, masked, again, VectorsOf(d, scale), part);
        const V largest =
            hn::Max(part.teacher, kForm == Form::kApart ? part.other : hn::Add(part.teacher, part.other));
        const bool grown = !hn::AllFalse(d, hn::Gt(largest, hn::Set(d, T{kLargestLaneSum})));
        const bool finite = AllFinite(d, part.weighted);
        if (HWY_LIKELY(finite && !grown)) break;
        if (grown && !raised) {
          raised = true;
          sums.teacher += teacher.Total(d), sums.other += other.Total(d), sums.weighted += weighted.Total(d);
          teacher = other = weighted = WideSum<D>(d);
          Raise<kForm>(z, t, begin, scale, sums, kStore);
        } else if (!finite && !masked) {
          masked = true;
        } else {
          break;
        }
      }
      teacher.Add(d, part.teacher);
      other.Add(d, part.other);
      weighted.Add(d, part.weighted);
    }
    return {sums.teacher + teacher.Total(d), sums.other + other.Total(d), sums.weighted + weighted.Total(d)};
  }

  // The origins, and the form, from the start of the row.
  Form Prepare(const Student* z, const Teacher* t, PairScale<T>& scale) const {
    const size_t sample = HWY_MIN(n_, n_ < 1024 ? size_t{64} : size_t{256});
    V teacher_maximum = hn::Neg(hn::Inf(d)), student_maximum = teacher_maximum;
    V ratio_maximum = teacher_maximum, ratio_minimum = hn::Inf(d);
    const V teacher_scale = hn::Set(d, scale.teacher_scale), student_scale = hn::Set(d, scale.student_scale);
    size_t j = 0;
    for (; j + hn::Lanes(d) <= sample; j += hn::Lanes(d)) {
      const V tv = LoadAs(d, t + j), zv = LoadAs(d, z + j);
      teacher_maximum = hn::Max(teacher_maximum, tv);
      student_maximum = hn::Max(student_maximum, zv);
      const V ratio = hn::MulSub(tv, teacher_scale, hn::Mul(zv, student_scale));
      ratio_maximum = hn::Max(ratio_maximum, ratio);
      ratio_minimum = hn::Min(ratio_minimum, ratio);
    }
    if (j == 0) {  // a row shorter than a vector
      scale.RefersTo(Maximum(t, n_), Maximum(z, n_));
      return Form::kClose;
    }
    const T teacher_origin = hn::GetLane(hn::MaxOfLanes(d, teacher_maximum));
    const T student_origin = hn::GetLane(hn::MaxOfLanes(d, student_maximum));
    scale.RefersTo(std::isinf(teacher_origin) ? 0 : teacher_origin,
                   std::isinf(student_origin) ? 0 : student_origin);
    const V range = hn::Sub(ratio_maximum, ratio_minimum);
    return hn::AllFalse(d, hn::Gt(range, hn::Set(d, T{kCloseRange}))) ? Form::kClose : Form::kApart;
  }

  struct EvaluatedRow {
    const Student* z;
    const Teacher* t;
    Form form;
    PairScale<T> scale;
    RowSums sums;
    RowResult result;
  };

  // kStore: keep the exponentials, finishing the row before as they go over its own.
  template <bool kStore>
  EvaluatedRow Evaluate(size_t row) {
    EvaluatedRow r;
    r.z = StudentRow(row), r.t = TeacherRow(row);
    r.scale = varies_ ? ScaleOf<T>(pair_.at(row)) : scale_;
    r.form = Prepare(r.z, r.t, r.scale);
    if (always_close_) r.form = Form::kClose;
    if (r.form == Form::kApart) {
      const PairScale<T> start = r.scale;
      Stream<Form::kApart, kStore>(r);
      if (!IsClose(r.result)) return r;
      r.scale = start;
    }
    Stream<Form::kClose, kStore>(r);
    return r;
  }

  // In a form; for the second time, after a row that turned out close.
  template <Form kForm, bool kStore>
  void Stream(EvaluatedRow& r) {
    r.form = kForm;
    r.sums = r.scale.IsSame() ? StreamRow<kForm, true, kStore>(r.z, r.t, r.scale)
                              : StreamRow<kForm, false, kStore>(r.z, r.t, r.scale);
    r.result = ResultOf<kForm>(r.sums, r.scale);
  }

  const row_job& job_;
  const size_t n_;
  T* const exponentials_;
  T* const others_;
  RowGradient<D, Gradient> gradient_;
  detail::row_term pair_;
  bool always_close_ = false;

 private:
  const PairScale<T> scale_;  // before origins, where all rows have one
  const bool varies_;
  T* student_copy_ = nullptr;
  T* teacher_copy_ = nullptr;
  Prefetching prefetching_;
};

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
