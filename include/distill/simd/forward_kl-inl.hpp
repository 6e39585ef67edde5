// Forward KL on contiguous rows, value and gradient, in one pass over the inputs: see pair_sums-inl.hpp for
// the formulas, row_gradient-inl.hpp for how that can be one pass.
#if defined(DISTILL_SIMD_FORWARD_KL_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_FORWARD_KL_INL_HPP
#undef DISTILL_SIMD_FORWARD_KL_INL_HPP
#else
#define DISTILL_SIMD_FORWARD_KL_INL_HPP
#endif

#include <distill/simd/pair_rows-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// How many rows are finished between evaluations of the logarithms.
inline constexpr size_t kRowsPerFlush = 64;

template <class D, class Student, class Teacher, class Gradient>
class ForwardKlRows : private PairRows<D, Student, Teacher, Gradient> {
  using Base = PairRows<D, Student, Teacher, Gradient>;
  using Base::gradient_;
  using Base::job_;
  using Base::pair_;
  using typename Base::T;

 public:
  ForwardKlRows(const row_job& job, T* HWY_RESTRICT scratch) : Base(job, job.terms[0], scratch) {}

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
    if (gradient_.IsPending()) gradient_.FinishAlone();
    if (job_.bypass_cache) hwy::FlushStream();
    FlushValues();
  }

 private:
  template <bool kStore>
  void Row(size_t row) {
    const auto pair = this->template Evaluate<kStore>(row);
    const RowResult& result = pair.result;
    const bool resolved = IsResolved(result);
    job_.loss(0, row) = resolved ? result.log_ratio : std::nan("");
    if (!resolved) return;
    unflushed_[unflushed_count_] = row;
    excess_[unflushed_count_] = result.excess;
    const loss_term& term = pair_.at(row);
    scale_[unflushed_count_] = term.scale();
    if (++unflushed_count_ == kRowsPerFlush) FlushValues();
    if constexpr (kStore) {
      const double factor =
          job_.factors[0] * static_cast<double>(job_.weight(row)) * term.scale() / term.temperature;
      gradient_.Start(
          row, {.other_factor = result.other_norm * factor, .teacher_factor = result.teacher_norm * factor});
    }
  }

  // Adds log1p(H) to the rows collected so far, several rows to a vector.
  void FlushValues() {
    const hn::ScalableTag<double> dd;
    const size_t lanes = hn::Lanes(dd);
    for (size_t i = unflushed_count_; i % lanes != 0; ++i) excess_[i] = 0;
    for (size_t i = 0; i < unflushed_count_; i += lanes)
      hn::StoreU(Log1p(dd, hn::LoadU(dd, excess_ + i)), dd, excess_ + i);
    for (size_t i = 0; i < unflushed_count_; ++i) {
      double& loss = job_.loss(0, unflushed_[i]);
      loss = HWY_MAX(loss + excess_[i], 0.0) * scale_[i];
    }
    unflushed_count_ = 0;
  }

  size_t unflushed_count_ = 0;
  size_t unflushed_[kRowsPerFlush];
  double scale_[kRowsPerFlush];
  double excess_[kRowsPerFlush + HWY_MAX_BYTES / sizeof(double)];
};

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
