// Forward KL on contiguous rows, value and gradient, in one pass over the inputs.
//
// With e = 2^teacher exponent, D = 2^student exponent - e, S = Σ e and H = Σ D / S:
//   KL(p || q) = ln 2 Σ e w / S + log1p(H),  w = log2 of the ratio,   q - p = D / (S (1 + H)) - e H / (S (1 + H)),
// so neither cancels when the two distributions are nearly equal. The exponentials of a row stay in two scratch
// rows; while the next row is read and exponentiated over them, position by position, this row's gradient is
// finished from what is about to be overwritten: reading, arithmetic and writing overlap.
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

// How far a logit may exceed the reference taken from the start of its row before the row is rescaled, in powers
// of 2: the rounding error of an exponent grows with its size.
inline constexpr float kReferenceSlack = 8;

// How many rows are finished between evaluations of the logarithms.
inline constexpr size_t kRowsPerFlush = 64;

template <class V>
struct ForwardKlSums {
  V teacher, difference, weighted, largest;
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
        differences_(scratch + job.scratch.pitch), same_(term_.temperature == term_.teacher_temperature) {
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

  template <bool kBypass>
  HWY_INLINE void FinishVector(size_t j) const {
    const V e = hn::LoadU(d, exponentials_ + j), difference = hn::LoadU(d, differences_ + j);
    const V g = hn::MulAdd(difference, hn::Set(d, student_factor_), hn::Mul(e, hn::Set(d, teacher_factor_)));
    if constexpr (kBypass)
      hn::Stream(g, d, reinterpret_cast<T*>(gradient_) + j);
    else
      StoreAs(d, g, gradient_ + j);
  }
  HWY_INLINE void FinishPart(size_t j, size_t count) const {
    const V e = LoadPart(d, exponentials_ + j, count), difference = LoadPart(d, differences_ + j, count);
    const V g = hn::MulAdd(difference, hn::Set(d, student_factor_), hn::Mul(e, hn::Set(d, teacher_factor_)));
    StorePart(d, g, gradient_ + j, count);
  }
  // From position j on.
  void FinishRest(size_t j) {
    for (; j + hn::Lanes(d) <= n_; j += hn::Lanes(d)) FinishVector<false>(j);
    if (j < n_) FinishPart(j, n_ - j);
    Commit();
  }
  void FinishAlone() {
    if (head_ > 0) FinishPart(0, head_);
    FinishRest(head_);
  }
  // A gradient that could not be written in place goes to the caller now.
  void Commit() {
    pending_ = false;
    if (gradient_copy_ != nullptr) {
      if constexpr (std::is_same_v<Gradient, T>) StoreRow(job_.gradient, pending_row_, gradient_copy_, job_.accumulate);
    }
  }

  void MakePending(size_t row, double factor, const PairNorms& norms) {
    pending_ = true;
    pending_row_ = row;
    student_factor_ = static_cast<T>(norms.student_norm * factor);
    teacher_factor_ = static_cast<T>(norms.norm_difference * factor);
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

  template <bool kSame, bool kMasked, bool kStore>
  HWY_INLINE void StreamVector(V t, V z, size_t j, const PairScaleVectors<V>& scale, ForwardKlSums<V>& sums) const {
    const Pair<V> pair = PairedExp2<kSame, kMasked>(d, t, z, scale);
    if constexpr (kStore) {
      hn::StoreU(pair.teacher, d, exponentials_ + j);
      hn::StoreU(pair.difference, d, differences_ + j);
    }
    V ratio = pair.log2_ratio;
    if constexpr (kMasked) ratio = hn::IfThenZeroElse(hn::Eq(t, hn::Neg(hn::Inf(d))), ratio);
    sums.teacher = hn::Add(sums.teacher, pair.teacher);
    sums.difference = hn::Add(sums.difference, pair.difference);
    sums.weighted = hn::MulAdd(pair.teacher, ratio, sums.weighted);
    sums.largest = hn::Max(sums.largest, pair.larger);
  }

  // Vectors of [begin, end) of a row, the last possibly partial.
  template <bool kSame, bool kMasked, bool kStore>
  HWY_NOINLINE void StreamPlain(const Student* z, const Teacher* t, size_t begin, size_t end,
                                const PairScaleVectors<V>& scale, ForwardKlSums<V>& sums) const {
    const size_t lanes = hn::Lanes(d);
    size_t j = begin;
    for (; j + lanes <= end; j += lanes)
      StreamVector<kSame, kMasked, kStore>(LoadAs(d, t + j), LoadAs(d, z + j), j, scale, sums);
    // Past the end both logits are -inf.
    if (j < end)
      StreamVector<kSame, true, kStore>(LoadLogitsAs(t + j, end - j), LoadLogitsAs(z + j, end - j), j, scale, sums);
  }

  // The same for whole vectors, finishing the pending row head_ elements ahead.
  template <bool kSame, bool kBypass, Prefetching kPrefetching>
  HWY_NOINLINE void StreamFinishing(const Student* z, const Teacher* t, size_t begin, size_t end,
                                    const PairScaleVectors<V>& scale, ForwardKlSums<V>& sums_out) const {
    const size_t lanes = hn::Lanes(d);
    const size_t head = head_;
    ForwardKlSums<V> sums = sums_out;
    for (size_t j = begin; j < end; j += lanes) {
      if constexpr (kPrefetching == Prefetching::kNear) {
        __builtin_prefetch(reinterpret_cast<const char*>(t + j) + 4096, 0, 2);
        __builtin_prefetch(reinterpret_cast<const char*>(z + j) + 4096, 0, 2);
      } else if constexpr (kPrefetching == Prefetching::kFar) {
        __builtin_prefetch(reinterpret_cast<const char*>(t + j) + 2048, 0, 0);
        __builtin_prefetch(reinterpret_cast<const char*>(z + j) + 2048, 0, 0);
      }
      const V teacher = LoadAs(d, t + j), student = LoadAs(d, z + j);
      FinishVector<kBypass>(j + head);
      StreamVector<kSame, false, true>(teacher, student, j, scale, sums);
    }
    sums_out = sums;
  }

  template <bool kSame, bool kBypass>
  HWY_INLINE void StreamFinishing(const Student* z, const Teacher* t, size_t begin, size_t end,
                                  const PairScaleVectors<V>& scale, ForwardKlSums<V>& sums) const {
    switch (prefetching_) {
      case Prefetching::kNone:
        return StreamFinishing<kSame, kBypass, Prefetching::kNone>(z, t, begin, end, scale, sums);
      case Prefetching::kNear:
        return StreamFinishing<kSame, kBypass, Prefetching::kNear>(z, t, begin, end, scale, sums);
      case Prefetching::kFar:
        return StreamFinishing<kSame, kBypass, Prefetching::kFar>(z, t, begin, end, scale, sums);
    }
  }

  template <bool kSame, bool kStore>
  HWY_INLINE void StreamBlock(const Student* z, const Teacher* t, size_t begin, size_t end, bool masked, bool again,
                              const PairScaleVectors<V>& scale, ForwardKlSums<V>& sums) {
    sums = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Neg(hn::Inf(d))};
    if constexpr (kStore) {
      if (pending_ && !again) {
        const size_t lanes = hn::Lanes(d);
        const size_t whole = (n_ - head_) / lanes * lanes;  // what both rows have as whole vectors
        const size_t both = HWY_MAX(begin, HWY_MIN(end, whole));
        if (bypass_)
          StreamFinishing<kSame, true>(z, t, begin, both, scale, sums);
        else
          StreamFinishing<kSame, false>(z, t, begin, both, scale, sums);
        if (end == n_ || both < end) FinishRest(head_ + both);
        begin = both;
      }
    }
    if (masked)
      StreamPlain<kSame, true, kStore>(z, t, begin, end, scale, sums);
    else
      StreamPlain<kSame, false, kStore>(z, t, begin, end, scale, sums);
  }

  struct RowSums {
    double teacher = 0, difference = 0, weighted = 0;
  };

  // Raises the references to the maxima over the rest of the row; what was accumulated before follows.
  HWY_NOINLINE void Raise(const Student* z, const Teacher* t, size_t begin, PairScale<T>& scale, RowSums& sums,
                          bool stored) const {
    const PairScale<T> old = scale;
    const double old_student = static_cast<double>(old.reference) - old.shift;
    const T teacher_excess = HWY_MAX(Maximum(t + begin, n_ - begin) * scale.teacher_scale - old.reference, T{0});
    const T student_excess =
        HWY_MAX(Maximum(z + begin, n_ - begin) * scale.student_scale - static_cast<T>(old_student), T{0});
    const T both = HWY_MAX(teacher_excess, student_excess);
    const bool together = both - HWY_MIN(teacher_excess, student_excess) <= T{kReferenceSlack};
    scale.reference = old.reference + (together ? both : teacher_excess);
    if (!together) scale.shift = old.shift + teacher_excess - student_excess;
    const double teacher_factor = std::exp2(static_cast<double>(old.reference) - scale.reference);
    const double student_factor =
        together ? teacher_factor : std::exp2(old_student - (static_cast<double>(scale.reference) - scale.shift));
    const double mixed = student_factor - teacher_factor;
    sums.weighted = teacher_factor * (sums.weighted + sums.teacher * (static_cast<double>(old.shift) - scale.shift));
    sums.difference = sums.difference * student_factor + sums.teacher * mixed;
    sums.teacher *= teacher_factor;
    if (!stored) return;
    const V teacher_v = hn::Set(d, static_cast<T>(teacher_factor));
    const V student_v = hn::Set(d, static_cast<T>(student_factor)), mixed_v = hn::Set(d, static_cast<T>(mixed));
    for (size_t j = 0; j < begin; j += hn::Lanes(d)) {
      const V e = hn::LoadU(d, exponentials_ + j), difference = hn::LoadU(d, differences_ + j);
      hn::StoreU(hn::Mul(e, teacher_v), d, exponentials_ + j);
      hn::StoreU(hn::MulAdd(difference, student_v, hn::Mul(e, mixed_v)), d, differences_ + j);
    }
  }

  template <bool kSame, bool kStore>
  RowSums StreamRow(const Student* z, const Teacher* t) {
    PairScale<T> scale = ScaleOf<T>(term_);
    const size_t sample = HWY_MIN(n_, n_ < 1024 ? size_t{64} : size_t{256});
    scale.RefersTo(Maximum(t, sample), Maximum(z, sample));
    if (kStore && pending_ && head_ > 0) FinishPart(0, head_);
    RowSums sums;
    WideSum<D> teacher(d), difference(d), weighted(d);
    bool masked = false, raised = false;
    const size_t block = kBlockVectors * hn::Lanes(d);
    for (size_t begin = 0; begin < n_; begin += block) {
      const size_t end = HWY_MIN(n_, begin + block);
      ForwardKlSums<V> part;
      for (bool again = false;; again = true) {
        StreamBlock<kSame, kStore>(z, t, begin, end, masked, again, VectorsOf(d, scale), part);
        const bool finite = AllFinite(d, part.weighted);
        if (HWY_LIKELY(finite && hn::AllFalse(d, hn::Gt(part.largest, hn::Set(d, T{kReferenceSlack}))))) break;
        if (!finite && !masked) {
          masked = true;
        } else if (finite && !raised) {
          raised = true;
          sums.teacher += teacher.Total(d), sums.difference += difference.Total(d);
          sums.weighted += weighted.Total(d);
          teacher = difference = weighted = WideSum<D>(d);
          Raise(z, t, begin, scale, sums, kStore);
        } else {
          break;
        }
      }
      teacher.Add(d, part.teacher);
      difference.Add(d, part.difference);
      weighted.Add(d, part.weighted);
    }
    return {sums.teacher + teacher.Total(d), sums.difference + difference.Total(d), sums.weighted + weighted.Total(d)};
  }

  template <bool kStore>
  void Row(size_t row) {
    const Student* z = StudentRow(row);
    const Teacher* t = TeacherRow(row);
    const RowSums sums = same_ ? StreamRow<true, kStore>(z, t) : StreamRow<false, kStore>(z, t);
    const double student_sum = sums.teacher + sums.difference;
    const bool resolved = std::isfinite(sums.weighted) && std::isfinite(student_sum) && sums.teacher > 0 &&
                          student_sum > 0;
    const double inverse = 1 / sums.teacher;
    job_.loss(0, row) = resolved ? sums.weighted * inverse * kLn2 : std::nan("");
    if (!resolved) return;
    unflushed_[unflushed_count_] = row;
    excess_[unflushed_count_] = sums.difference * inverse;
    if (++unflushed_count_ == kRowsPerFlush) FlushValues();
    if constexpr (kStore) {
      PairNorms norms;
      norms.student_norm = 1 / student_sum;
      norms.norm_difference = -sums.difference * inverse * norms.student_norm;
      const double factor = job_.factors[0] * static_cast<double>(job_.weight(row)) * term_.scale() / term_.temperature;
      MakePending(row, factor, norms);
    }
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
  T* HWY_RESTRICT const differences_;
  T* student_copy_ = nullptr;
  T* teacher_copy_ = nullptr;
  T* gradient_copy_ = nullptr;
  const bool same_;
  Prefetching prefetching_;

  bool pending_ = false, bypass_ = false;
  size_t pending_row_ = 0, head_ = 0;
  Gradient* gradient_ = nullptr;
  T student_factor_ = 0, teacher_factor_ = 0;

  size_t unflushed_count_ = 0;
  size_t unflushed_[kRowsPerFlush];
  double excess_[kRowsPerFlush + HWY_MAX_BYTES / sizeof(double)];
};

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
