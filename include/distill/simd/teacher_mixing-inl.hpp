// Rows of several teachers' logits mixed into one.
#if defined(DISTILL_SIMD_TEACHER_MIXING_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_TEACHER_MIXING_INL_HPP
#undef DISTILL_SIMD_TEACHER_MIXING_INL_HPP
#else
#define DISTILL_SIMD_TEACHER_MIXING_INL_HPP
#endif

#include <cmath>
#include <distill/simd/teacher_sums-inl.hpp>
#include <distill/teacher/mixing_job.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::mixing_job;
using detail::mixing_kind;
using detail::teacher_shares;

// log2(v) for v in [1, 16].
template <class D, class V>
HWY_INLINE V Log2OfSum(D d, V v) {
  if constexpr (sizeof(Real<D>) == 4)
    return Log2(d, v);
  else
    return hn::Mul(Log1p(d, hn::Sub(v, hn::Set(d, 1.0))), hn::Set(d, kLog2e));
}

// The teachers of a row that count. Their terms are log2(share p) = (z - maximum) scale + offset.
template <class T>
struct MixedTeachers {
  size_t count = 0;
  const T* rows[teacher_list::capacity];
  T maxima[teacher_list::capacity], offsets[teacher_list::capacity];
  double logs[teacher_list::capacity];  // log2 Σ 2^((z - maximum) scale)
  double shares[teacher_list::capacity];
  size_t indices[teacher_list::capacity];
};

template <class D>
class MixedRows {
  using T = Real<D>;
  using V = hn::Vec<D>;
  static constexpr D d{};

 public:
  MixedRows(const mixing_job& job, T* HWY_RESTRICT scratch)
      : job_(job), scratch_(scratch), n_(job.classes()), scale_(Log2eOver<T>(job.temperature)) {}

  // Rows [begin, end) of a flat job.
  void Flat(size_t begin, size_t end) const {
    const teacher_shares shares = shares_of_row(job_, begin);
    if (shares.is_empty) {
      for (size_t row = begin; row < end; ++row) resolve_mixed_row(job_, shares, row);
      return;
    }
    MixedTeachers<T> teachers;
    for (size_t i = 0; i < job_.teachers.size(); ++i) {
      if (shares.share[i] == 0) continue;
      teachers.rows[teachers.count] = static_cast<const T*>(job_.teachers[i].data) + begin * n_;
      teachers.shares[teachers.count++] = shares.share[i];
    }
    WriteMeanLogits(teachers, static_cast<T*>(job_.output.data) + begin * n_, (end - begin) * n_);
  }

  void OneRow(size_t row) {
    const teacher_shares shares = shares_of_row(job_, row);
    if (shares.is_empty || !Mix(shares, row)) resolve_mixed_row(job_, shares, row);
  }

 private:
  T* Copy(int index) const { return scratch_ + static_cast<size_t>(HWY_MAX(index, 0)) * job_.pitch; }

  // False, and nothing written, where the range of the compute type did not suffice.
  bool Mix(const teacher_shares& shares, size_t row) {
    MixedTeachers<T> teachers;
    for (size_t i = 0; i < job_.teachers.size(); ++i) {
      if (shares.share[i] == 0) continue;
      teachers.rows[teachers.count] = RowAs<T>(job_.teachers[i], row, Copy(job_.copies[i]));
      teachers.shares[teachers.count] = shares.share[i];
      teachers.indices[teachers.count++] = i;
    }
    T* out = Copy(job_.output_copy);
    if (job_.output_copy < 0)
      out = static_cast<T*>(job_.output.data) + static_cast<ptrdiff_t>(row) * job_.output.row_stride;
    const bool of_logits = job_.kind == mixing_kind::logits || job_.kind == mixing_kind::log_probabilities;
    if (of_logits ? !MeanOfLogits(teachers, out) : !MeanOfProbabilities(teachers, out)) return false;
    if (job_.kind == mixing_kind::divergences)
      WriteDivergences(teachers, out, row);
    else if (job_.output_copy >= 0)
      StoreRow(job_.output, row, out, false);
    return true;
  }

  // ---- logits

  HWY_INLINE V MeanLogit(const MixedTeachers<T>& teachers, size_t j, size_t count) const {
    V sum =
        hn::Mul(LoadFirst(d, teachers.rows[0] + j, count), hn::Set(d, static_cast<T>(teachers.shares[0])));
    for (size_t i = 1; i < teachers.count; ++i)
      sum = hn::MulAdd(LoadFirst(d, teachers.rows[i] + j, count),
                       hn::Set(d, static_cast<T>(teachers.shares[i])), sum);
    return sum;
  }

  HWY_NOINLINE void WriteMeanLogits(const MixedTeachers<T>& teachers, T* out, size_t n) const {
    const size_t lanes = hn::Lanes(d);
    size_t j = 0;
    for (; j + lanes <= n; j += lanes) hn::StoreU(MeanLogit(teachers, j, lanes), d, out + j);
    if (j < n) StoreFirst(d, MeanLogit(teachers, j, n - j), out + j, n - j);
  }

  HWY_NOINLINE bool MeanOfLogits(const MixedTeachers<T>& teachers, T* out) const {
    if (job_.kind != mixing_kind::logits) return MeanOfLogProbabilities(teachers, out);
    WriteMeanLogits(teachers, out, n_);
    return true;
  }

  // The mean is formed again in each pass, so that an output in place of a teacher is written last.
  HWY_NOINLINE bool MeanOfLogProbabilities(const MixedTeachers<T>& teachers, T* out) const {
    const size_t lanes = hn::Lanes(d);
    const V least = hn::Neg(hn::Inf(d)), scale = hn::Set(d, scale_);
    const auto mean = [&](size_t j, size_t count) HWY_ATTR {
      const V z = MeanLogit(teachers, j, count);
      return count == lanes ? z : hn::IfThenElse(hn::FirstN(d, count), z, least);
    };
    V largest = least;
    for (size_t j = 0; j < n_; j += lanes) largest = hn::Max(largest, mean(j, HWY_MIN(lanes, n_ - j)));
    const T maximum = hn::GetLane(hn::MaxOfLanes(d, largest));
    const V reference = hn::Set(d, maximum);
    double total;
    SumRow<1>(d, n_, &total, [&](size_t j, size_t count, V* sums) HWY_ATTR {
      sums[0] = hn::Add(sums[0], Exp2Fast(d, hn::Mul(hn::Sub(mean(j, count), reference), scale)));
    });
    if (!IsInRange<T>(static_cast<double>(maximum), job_.temperature) || !std::isfinite(total)) return false;
    const V factor = hn::Set(d, InverseOf<T>(job_.temperature)),
            log_total = hn::Set(d, static_cast<T>(std::log(total)));
    for (size_t j = 0; j < n_; j += lanes) {
      const size_t count = HWY_MIN(lanes, n_ - j);
      StoreFirst(d, hn::MulSub(hn::Sub(mean(j, count), reference), factor, log_total), out + j, count);
    }
    return true;
  }

  // ---- probabilities

  HWY_NOINLINE bool Normalise(MixedTeachers<T>& teachers) const {
    const V scale = hn::Set(d, scale_);
    for (size_t i = 0; i < teachers.count; ++i) {
      const T* const p = teachers.rows[i];
      teachers.maxima[i] = MaximumOfRow(d, p, n_);
      const V maximum = hn::Set(d, teachers.maxima[i]);
      double total;
      SumRow<1>(d, n_, &total, [&](size_t j, size_t count, V* sums) HWY_ATTR {
        const V z = LoadLogitsFirst(d, p + j, count);
        sums[0] = hn::Add(sums[0], Exp2Fast(d, hn::Mul(hn::Sub(z, maximum), scale)));
      });
      teachers.logs[i] = std::log2(total);
      teachers.offsets[i] = static_cast<T>(std::log2(teachers.shares[i]) - teachers.logs[i]);
      const auto maximum_of_row = static_cast<double>(teachers.maxima[i]);
      if (!IsInRange<T>(maximum_of_row, job_.temperature) || !std::isfinite(teachers.logs[i])) return false;
    }
    return true;
  }

  HWY_INLINE V Term(const MixedTeachers<T>& teachers, size_t i, size_t j, size_t count, V scale) const {
    const V z = LoadFirst(d, teachers.rows[i] + j, count);
    return hn::MulAdd(hn::Sub(z, hn::Set(d, teachers.maxima[i])), scale, hn::Set(d, teachers.offsets[i]));
  }

  // log2 of the mean at a vector of classes; -inf where all terms are.
  HWY_INLINE V LogMean(const MixedTeachers<T>& teachers, size_t j, size_t count, V scale) const {
    const V least = hn::Neg(hn::Inf(d));
    V largest = Term(teachers, 0, j, count, scale);
    for (size_t i = 1; i < teachers.count; ++i)
      largest = hn::Max(largest, Term(teachers, i, j, count, scale));
    const auto is_none = hn::Eq(largest, least);
    const V reference = hn::IfThenZeroElse(is_none, largest);
    V sum = hn::Zero(d);
    for (size_t i = 0; i < teachers.count; ++i)
      sum = hn::Add(sum, Exp2(d, hn::Sub(Term(teachers, i, j, count, scale), reference)));
    return hn::IfThenElse(is_none, least, hn::Add(reference, Log2OfSum(d, sum)));
  }

  HWY_NOINLINE bool MeanOfProbabilities(MixedTeachers<T>& teachers, T* out) const {
    if (!Normalise(teachers)) return false;
    const size_t lanes = hn::Lanes(d);
    // Divergences take the logarithm to base 2 as it is.
    const V scale = hn::Set(d, scale_);
    const V unit = hn::Set(d, static_cast<T>(job_.kind == mixing_kind::divergences ? 1 : kLn2));
    for (size_t j = 0; j < n_; j += lanes) {
      const size_t count = HWY_MIN(lanes, n_ - j);
      StoreFirst(d, hn::Mul(LogMean(teachers, j, count, scale), unit), out + j, count);
    }
    return true;
  }

  HWY_NOINLINE void WriteDivergences(const MixedTeachers<T>& teachers, const T* mean, size_t row) const {
    double divergences[teacher_list::capacity] = {};
    const V scale = hn::Set(d, scale_), least = hn::Neg(hn::Inf(d));
    for (size_t i = 0; i < teachers.count; ++i) {
      const V offset = hn::Set(d, static_cast<T>(teachers.logs[i])), maximum = hn::Set(d, teachers.maxima[i]);
      SumRow<1>(d, n_, &divergences[teachers.indices[i]], [&](size_t j, size_t count, V* sums) HWY_ATTR {
        const V z = LoadLogitsFirst(d, teachers.rows[i] + j, count);
        const V x = hn::MulSub(hn::Sub(z, maximum), scale, offset);
        V y = LoadFirst(d, mean + j, count);
        if (count < hn::Lanes(d)) y = hn::IfThenElse(hn::FirstN(d, count), y, least);
        sums[0] = hn::Add(sums[0], DivergenceTerm(d, x, y, hn::Sub(x, y)));
      });
    }
    WithRow(job_.output, row, [&](auto* p) {
      for (size_t i = 0; i < job_.output.columns; ++i)
        Assign(divergences[i], p[static_cast<ptrdiff_t>(i) * job_.output.column_stride]);
    });
  }

  const mixing_job& job_;
  T* HWY_RESTRICT const scratch_;
  const size_t n_;
  const T scale_;
};

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
