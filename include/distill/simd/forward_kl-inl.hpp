// Forward KL on contiguous rows, value and gradient, in one pass over the inputs.
//
// With e and s the exponentials of teacher and student, E and S their sums:
//   KL(p || q) = ln 2 (Σ e w / E) + log(S / E),  w = log2(e / s),      q - p = s / S - e / E.
// Nearly equal distributions lose their digits that way; for them (see paired_exponential-inl.hpp) D = s - e is at
// hand, H = Σ D / E, and neither of these cancels:
//   KL(p || q) = ln 2 (Σ e w / E) + log1p(H),                          q - p = D / S - e H / S.
// The exponentials of a row stay in two scratch rows; while the next row is read and exponentiated over them, position
// by position, this row's gradient is finished from what is about to be overwritten: reading, arithmetic and writing
// overlap.
#if defined(DISTILL_SIMD_FORWARD_KL_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_FORWARD_KL_INL_HPP
#undef DISTILL_SIMD_FORWARD_KL_INL_HPP
#else
#define DISTILL_SIMD_FORWARD_KL_INL_HPP
#endif

#include <distill/loss/row_job.hpp>
#include <distill/simd/loss_rows-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::row_job;

// How far the exponentials of a block may grow, summed per lane, before the row is rescaled: an exponent's rounding
// error grows with its size.
inline constexpr float kLargestLaneSum = 2048;

// How many rows are finished between evaluations of the logarithms.
inline constexpr size_t kRowsPerFlush = 64;

// Σ e; Σ s or Σ D; Σ e w, in form kApart without scale and origin.
template <class V>
struct ForwardKlSums {
  V teacher, other, weighted;
};

// How the inputs are fetched ahead: not at all in cache; to the second level where the scratch rows fit it; past
// the caches where they do not.
enum class Prefetching { kNone, kNear, kFar };

template <class D, class Student, class Teacher, class Gradient>
class ForwardKlRows {
  using T = Real<D>;
  using V = hn::Vec<D>;
  static constexpr D d{};

 public:
  ForwardKlRows(const row_job& job, T* HWY_RESTRICT scratch)
      : job_(job), term_(job.terms[0]), n_(job.classes()), exponentials_(scratch),
        others_(scratch + job.scratch.pitch), same_(term_.temperature == term_.teacher_temperature) {
    const size_t bytes = n_ * sizeof(T);
    prefetching_ = bytes < size_t{16} << 10 ? Prefetching::kNone
                   : bytes < size_t{192} << 10 ? Prefetching::kNear
                                               : Prefetching::kFar;
    if (job.scratch.student >= 0) student_copy_ = scratch + job.scratch.student * job.scratch.pitch;
    if (job.scratch.teacher >= 0) teacher_copy_ = scratch + job.scratch.teacher * job.scratch.pitch;
    if (job.scratch.gradient >= 0) gradient_copy_ = scratch + job.scratch.gradient * job.scratch.pitch;
  }

  void Run(size_t begin, size_t end) {
    const bool gradient = job_.gradient.data != nullptr;
    for (size_t row = begin; row < end; ++row) {
      if (job_.weight(row) == 0) {
        job_.loss(0, row) = 0;
        if (gradient && !job_.accumulate) StoreZeroRow(job_.gradient, row);
        continue;
      }
      if (!gradient)
        Row<false>(row);
      else
        Row<true>(row);
    }
    if (pending_) FinishAlone();
    if (job_.bypass_cache) hwy::FlushStream();
    FlushValues();
  }

  // One vector of classes: its exponentials, and their part of the sums.
  template <Form kForm, bool kSame, bool kMasked, bool kStore>
  static HWY_INLINE void StreamVector(V t, V z, const PairScaleVectors<V>& scale, T* exponentials, T* others,
                                      ForwardKlSums<V>& sums) {
    Pair<V> pair;
    if constexpr (kForm == Form::kApart) {
      pair = PairApart<true>(d, t, z, scale);
      pair.ratio = kSame ? hn::Sub(t, z) : hn::MulSub(t, scale.teacher_scale, hn::Mul(z, scale.student_scale));
    } else {
      pair = PairClose<kSame, kMasked>(d, t, z, scale);
    }
    if constexpr (kStore) {
      hn::StoreU(pair.teacher, d, exponentials);
      hn::StoreU(pair.other, d, others);
    }
    if constexpr (kMasked) pair.ratio = hn::IfThenZeroElse(hn::Eq(t, hn::Neg(hn::Inf(d))), pair.ratio);
    sums.teacher = hn::Add(sums.teacher, pair.teacher);
    sums.other = hn::Add(sums.other, pair.other);
    sums.weighted = hn::MulAdd(pair.teacher, pair.ratio, sums.weighted);
  }

 private:
  // ---- rows of the caller's

  const Student* StudentRow(size_t row) {
    if constexpr (std::is_same_v<Student, T>)
      return RowAs<T>(job_.student, row, student_copy_);
    else
      return static_cast<const Student*>(job_.student.data) + static_cast<ptrdiff_t>(row) * job_.student.row_stride;
  }
  const Teacher* TeacherRow(size_t row) {
    if constexpr (std::is_same_v<Teacher, T>)
      return RowAs<T>(job_.teacher, row, teacher_copy_);
    else
      return static_cast<const Teacher*>(job_.teacher.data) + static_cast<ptrdiff_t>(row) * job_.teacher.row_stride;
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

  // ---- the gradient of the pending row

  // What finishing a vector needs, as values: stores of floats could change the members behind it.
  struct Finish {
    const T* exponentials;
    const T* others;
    Gradient* gradient;
    V other_factor, teacher_factor;

    template <bool kBypass>
    HWY_INLINE void Vector(size_t j) const {
      const V g = Slope(hn::LoadU(d, exponentials + j), hn::LoadU(d, others + j));
      if constexpr (kBypass)
        hn::Stream(g, d, reinterpret_cast<T*>(gradient) + j);
      else
        StoreAs(d, g, gradient + j);
    }
    HWY_INLINE void Part(size_t j, size_t count) const {
      const V g = Slope(LoadPart(d, exponentials + j, count), LoadPart(d, others + j, count));
      StorePart(d, g, gradient + j, count);
    }

   private:
    HWY_INLINE V Slope(V e, V other) const {
      return hn::MulAdd(other, other_factor, hn::Mul(e, teacher_factor));
    }
  };

  HWY_INLINE Finish Finishing() const {
    return {exponentials_, others_, gradient_, hn::Set(d, other_factor_), hn::Set(d, teacher_factor_)};
  }

  // From position j on.
  void FinishRest(size_t j) {
    const Finish finish = Finishing();
    for (; j + hn::Lanes(d) <= n_; j += hn::Lanes(d)) finish.template Vector<false>(j);
    if (j < n_) finish.Part(j, n_ - j);
    Commit();
  }
  void FinishAlone() {
    if (head_ > 0) Finishing().Part(0, head_);
    FinishRest(head_);
  }
  // A gradient that could not be written in place goes to the caller now.
  void Commit() {
    pending_ = false;
    if (gradient_copy_ != nullptr) {
      if constexpr (std::is_same_v<Gradient, T>) StoreRow(job_.gradient, pending_row_, gradient_copy_, job_.accumulate);
    }
  }

  template <class Result>
  void MakePending(size_t row, const Result& result) {
    const double factor = job_.factors[0] * static_cast<double>(job_.weight(row)) * term_.scale() / term_.temperature;
    pending_ = true;
    pending_row_ = row;
    other_factor_ = static_cast<T>(result.other_norm * factor);
    teacher_factor_ = static_cast<T>(result.teacher_norm * factor);
    if constexpr (std::is_same_v<Gradient, T>) gradient_ = gradient_copy_;
    if (gradient_copy_ == nullptr)
      gradient_ = static_cast<Gradient*>(job_.gradient.data) + static_cast<ptrdiff_t>(row) * job_.gradient.row_stride;
    bypass_ = job_.bypass_cache && gradient_copy_ == nullptr && sizeof(Gradient) == sizeof(T);
    constexpr size_t kBytes = sizeof(V);
    const auto address = reinterpret_cast<uintptr_t>(gradient_);
    bypass_ = bypass_ && address % sizeof(T) == 0;
    // Stores past the cache need alignment, so such a row is finished ahead of the next row's reading by this much.
    head_ = bypass_ ? HWY_MIN(n_, (kBytes - address % kBytes) % kBytes / sizeof(T)) : 0;
  }

  // ---- one row

  // Vectors of [begin, end) of a row, the last possibly partial.
  template <Form kForm, bool kSame, bool kMasked, bool kStore>
  HWY_NOINLINE void StreamPlain(const Student* z, const Teacher* t, size_t begin, size_t end,
                                const PairScaleVectors<V>& scale_in, ForwardKlSums<V>& sums_out) const {
    const size_t lanes = hn::Lanes(d);
    const PairScaleVectors<V> scale = scale_in;
    ForwardKlSums<V> sums = sums_out;
    T* const e = exponentials_;
    T* const other = others_;
    size_t j = begin;
    for (; j + lanes <= end; j += lanes)
      StreamVector<kForm, kSame, kMasked, kStore>(LoadAs(d, t + j), LoadAs(d, z + j), scale, e + j, other + j, sums);
    // Past the end both logits are -inf.
    if (j < end)
      StreamVector<kForm, kSame, true, kStore>(LoadLogitsAs(t + j, end - j), LoadLogitsAs(z + j, end - j), scale,
                                               e + j, other + j, sums);
    sums_out = sums;
  }

  // The same for whole vectors, finishing the pending row head_ elements ahead.
  template <Form kForm, bool kSame, bool kBypass, Prefetching kPrefetching>
  HWY_NOINLINE void StreamFinishing(const Student* z, const Teacher* t, size_t begin, size_t end,
                                    const PairScaleVectors<V>& scale_in, ForwardKlSums<V>& sums_out) const {
    const size_t lanes = hn::Lanes(d);
    const size_t head = head_;
    const PairScaleVectors<V> scale = scale_in;
    const Finish finish = Finishing();
    ForwardKlSums<V> sums = sums_out;
    T* const e = exponentials_;
    T* const other = others_;
    for (size_t j = begin; j < end; j += lanes) {
      if constexpr (kPrefetching == Prefetching::kNear) {
        __builtin_prefetch(reinterpret_cast<const char*>(t + j) + 4096, 0, 2);
        __builtin_prefetch(reinterpret_cast<const char*>(z + j) + 4096, 0, 2);
      } else if constexpr (kPrefetching == Prefetching::kFar) {
        __builtin_prefetch(reinterpret_cast<const char*>(t + j) + 3072, 0, 0);
        __builtin_prefetch(reinterpret_cast<const char*>(z + j) + 3072, 0, 0);
      }
      const V teacher = LoadAs(d, t + j), student = LoadAs(d, z + j);
      finish.template Vector<kBypass>(j + head);
      StreamVector<kForm, kSame, false, true>(teacher, student, scale, e + j, other + j, sums);
    }
    sums_out = sums;
  }

  template <Form kForm, bool kSame>
  HWY_INLINE void StreamFinishing(const Student* z, const Teacher* t, size_t begin, size_t end,
                                  const PairScaleVectors<V>& scale, ForwardKlSums<V>& sums) const {
    if (bypass_ && prefetching_ == Prefetching::kNear)
      StreamFinishing<kForm, kSame, true, Prefetching::kNear>(z, t, begin, end, scale, sums);
    else if (bypass_)
      StreamFinishing<kForm, kSame, true, Prefetching::kFar>(z, t, begin, end, scale, sums);
    else if (prefetching_ == Prefetching::kNone)
      StreamFinishing<kForm, kSame, false, Prefetching::kNone>(z, t, begin, end, scale, sums);
    else
      StreamFinishing<kForm, kSame, false, Prefetching::kNear>(z, t, begin, end, scale, sums);
  }

  // again: the block was streamed before, so the pending row's part of it is finished.
  template <Form kForm, bool kSame, bool kStore>
  HWY_INLINE void StreamBlock(const Student* z, const Teacher* t, size_t begin, size_t end, bool masked, bool again,
                              const PairScaleVectors<V>& scale, ForwardKlSums<V>& sums) {
    sums = {hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    if constexpr (kStore) {
      if (pending_ && !again) {
        const size_t lanes = hn::Lanes(d);
        const size_t whole = (n_ - head_) / lanes * lanes;  // what both rows have as whole vectors
        const size_t both = HWY_MAX(begin, HWY_MIN(end, whole));
        StreamFinishing<kForm, kSame>(z, t, begin, both, scale, sums);
        if (end == n_ || both < end) FinishRest(head_ + both);
        begin = both;
      }
    }
    if (masked)
      StreamPlain<kForm, kSame, true, kStore>(z, t, begin, end, scale, sums);
    else
      StreamPlain<kForm, kSame, false, kStore>(z, t, begin, end, scale, sums);
  }

  struct RowSums {
    double teacher = 0, other = 0, weighted = 0;
  };

  // Moves the origins to the maxima over the rest of the row; what was accumulated before follows.
  template <Form kForm>
  HWY_NOINLINE void Raise(const Student* z, const Teacher* t, size_t begin, PairScale<T>& scale, RowSums& sums,
                          bool stored) const {
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
    sums.weighted = teacher_factor * (sums.weighted + (kForm == Form::kClose ? sums.teacher * ratio_power : 0));
    sums.other = sums.other * student_factor + sums.teacher * mixed;
    sums.teacher *= teacher_factor;
    if (!stored) return;
    const V teacher_v = hn::Set(d, static_cast<T>(teacher_factor));
    const V student_v = hn::Set(d, static_cast<T>(student_factor)), mixed_v = hn::Set(d, static_cast<T>(mixed));
    for (size_t j = 0; j < begin; j += hn::Lanes(d)) {
      const V e = hn::LoadU(d, exponentials_ + j), other = hn::LoadU(d, others_ + j);
      hn::StoreU(hn::Mul(e, teacher_v), d, exponentials_ + j);
      hn::StoreU(hn::MulAdd(other, student_v, hn::Mul(e, mixed_v)), d, others_ + j);
    }
  }

  template <Form kForm, bool kSame, bool kStore>
  RowSums StreamRow(const Student* z, const Teacher* t, PairScale<T>& scale) {
    if (kStore && pending_ && head_ > 0) Finishing().Part(0, head_);
    RowSums sums;
    WideSum<D> teacher(d), other(d), weighted(d);
    bool masked = false, raised = false;
    const size_t block = kBlockVectors * hn::Lanes(d);
    for (size_t begin = 0; begin < n_; begin += block) {
      const size_t end = HWY_MIN(n_, begin + block);
      ForwardKlSums<V> part;
      for (bool again = false;; again = true) {
        StreamBlock<kForm, kSame, kStore>(z, t, begin, end, masked, again, VectorsOf(d, scale), part);
        const V largest = hn::Max(part.teacher, kForm == Form::kApart ? part.other : hn::Add(part.teacher, part.other));
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

  // What a row comes to: KL = log_ratio + log1p(excess).
  struct RowResult {
    double log_ratio, excess;
    double teacher_norm, other_norm;  // q - p = other * other_norm + teacher * teacher_norm
  };

  template <Form kForm>
  static RowResult ResultOf(const RowSums& sums, const PairScale<T>& scale) {
    RowResult result;
    const double inverse = 1 / sums.teacher;
    if constexpr (kForm == Form::kApart) {
      const double unit = scale.IsSame() ? static_cast<double>(scale.teacher_scale) : 1;
      const double origin = static_cast<double>(scale.teacher_origin) - scale.student_origin;
      result.log_ratio = kLn2 * (sums.weighted * inverse * unit + origin);
      result.excess = (sums.other - sums.teacher) * inverse;
      result.other_norm = 1 / sums.other;
      result.teacher_norm = -inverse;
    } else {
      result.log_ratio = kLn2 * sums.weighted * inverse;
      result.excess = sums.other * inverse;
      result.other_norm = 1 / (sums.teacher + sums.other);
      result.teacher_norm = -result.excess * result.other_norm;
    }
    return result;
  }

  static bool IsResolved(const RowResult& result) {
    return std::isfinite(result.log_ratio) && result.excess > -1 && std::isfinite(result.excess);
  }
  // A value so small that form kApart has not kept its digits.
  static bool IsClose(const RowResult& result) {
    return std::abs(result.log_ratio) < 1 && result.log_ratio + std::log1p(result.excess) < kCloseValue;
  }

  // The origins, and the form, from the start of the row.
  Form Prepare(const Student* z, const Teacher* t, PairScale<T>& scale) const {
    scale = ScaleOf<T>(term_);
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
    scale.RefersTo(std::isinf(teacher_origin) ? 0 : teacher_origin, std::isinf(student_origin) ? 0 : student_origin);
    const V range = hn::Sub(ratio_maximum, ratio_minimum);
    return hn::AllFalse(d, hn::Gt(range, hn::Set(d, T{kCloseRange}))) ? Form::kClose : Form::kApart;
  }

  template <Form kForm, bool kStore>
  RowResult Evaluate(const Student* z, const Teacher* t, PairScale<T> scale) {
    const RowSums sums = same_ ? StreamRow<kForm, true, kStore>(z, t, scale)
                               : StreamRow<kForm, false, kStore>(z, t, scale);
    return ResultOf<kForm>(sums, scale);
  }

  template <bool kStore>
  void Row(size_t row) {
    const Student* z = StudentRow(row);
    const Teacher* t = TeacherRow(row);
    PairScale<T> scale;
    const Form form = Prepare(z, t, scale);
    RowResult result = form == Form::kApart ? Evaluate<Form::kApart, kStore>(z, t, scale)
                                            : Evaluate<Form::kClose, kStore>(z, t, scale);
    if (form == Form::kApart && IsClose(result)) result = Evaluate<Form::kClose, kStore>(z, t, scale);
    const bool resolved = IsResolved(result);
    job_.loss(0, row) = resolved ? result.log_ratio : std::nan("");
    if (!resolved) return;
    unflushed_[unflushed_count_] = row;
    excess_[unflushed_count_] = result.excess;
    if (++unflushed_count_ == kRowsPerFlush) FlushValues();
    if constexpr (kStore) MakePending(row, result);
  }

  // Adds log1p(H) to the rows collected so far, several rows to a vector.
  void FlushValues() {
    const hn::ScalableTag<double> dd;
    const size_t lanes = hn::Lanes(dd);
    for (size_t i = unflushed_count_; i % lanes != 0; ++i) excess_[i] = 0;
    for (size_t i = 0; i < unflushed_count_; i += lanes)
      hn::StoreU(Log1p(dd, hn::LoadU(dd, excess_ + i)), dd, excess_ + i);
    const double scale = term_.scale();
    for (size_t i = 0; i < unflushed_count_; ++i) {
      double& loss = job_.loss(0, unflushed_[i]);
      loss = HWY_MAX(loss + excess_[i], 0.0) * scale;
    }
    unflushed_count_ = 0;
  }

  const row_job& job_;
  const loss_term& term_;
  const size_t n_;
  T* HWY_RESTRICT const exponentials_;
  T* HWY_RESTRICT const others_;
  T* student_copy_ = nullptr;
  T* teacher_copy_ = nullptr;
  T* gradient_copy_ = nullptr;
  const bool same_;
  Prefetching prefetching_;

  bool pending_ = false, bypass_ = false;
  size_t pending_row_ = 0, head_ = 0;
  Gradient* gradient_ = nullptr;
  T other_factor_ = 0, teacher_factor_ = 0;

  size_t unflushed_count_ = 0;
  size_t unflushed_[kRowsPerFlush];
  double excess_[kRowsPerFlush + HWY_MAX_BYTES / sizeof(double)];
};

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
