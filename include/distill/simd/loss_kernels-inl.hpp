// What the walks over rows call of a loss: its kernels, each instantiated for that loss alone. Header-only, a
// translation unit compiles those of the losses it makes terms of, and no others.
#if defined(DISTILL_SIMD_LOSS_KERNELS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_LOSS_KERNELS_INL_HPP
#undef DISTILL_SIMD_LOSS_KERNELS_INL_HPP
#else
#define DISTILL_SIMD_LOSS_KERNELS_INL_HPP
#endif

#include <array>
#include <distill/simd/adaptive_kl_rows-inl.hpp>
#include <distill/simd/corrected_kl_rows-inl.hpp>
#include <distill/simd/decoupled_kl_rows-inl.hpp>
#include <distill/simd/forward_kl_short-inl.hpp>
#include <distill/simd/loss_lanes-inl.hpp>
#include <distill/simd/ranking_rows-inl.hpp>
#include <distill/simd/slope_passes-inl.hpp>
#include <distill/simd/standardized_kl_rows-inl.hpp>
#include <distill/simd/taid_kl_rows-inl.hpp>
#include <distill/simd/temperature_slopes-inl.hpp>
#include <utility>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
using FullVector = hn::ScalableTag<T>;

// ---- one row

// With one class the probability is 1 whatever the logit: nothing to learn, unless there is no probability.
template <class T>
HWY_INLINE double OneClassRow(const RowView<T>& row, bool reads_teacher) {
  const double value =
      0 * static_cast<double>(row.student[0]) + (reads_teacher ? 0 * static_cast<double>(row.teacher[0]) : 0);
  const bool stores = row.gradient != nullptr && (sizeof(T) == 8 || value == 0);
  if (stores) row.gradient[0] = static_cast<T>(row.add ? row.gradient[0] + value : value);
  return value == 0 ? 0 : value;
}

// A loss that transforms the row first, before T². The factor is on the derivative with respect to the scaled
// logits.
template <loss_kind kKind, class D, class T = Real<D>>
HWY_INLINE double TransformedRow(D d, const loss_term& term, const RowView<T>& row,
                                 [[maybe_unused]] size_t index, const RowScratch<T>& scratch, double factor) {
  if (row.classes == 1) return OneClassRow(row, kKind != loss_kind::taid_kl || term.alpha > 0);
  if constexpr (kKind == loss_kind::decoupled_kl)
    return DecoupledKlRow(d, term, row, static_cast<size_t>(term.labels[index]), scratch, factor);
  else if constexpr (kKind == loss_kind::standardized_kl)
    return StandardizedKlRow(d, term, row, scratch, factor);
  else if constexpr (kKind == loss_kind::adaptive_kl)
    return AdaptiveKlRow(d, term, row, scratch, factor);
  else if constexpr (kKind == loss_kind::taid_kl)
    return TaidKlRow(d, term, row, scratch, factor);
  else
    return CorrectedKlRow(d, term, row, static_cast<size_t>(term.labels[index]), scratch, factor);
}

template <loss_kind kKind, class D, class T = Real<D>>
HWY_INLINE double TransformedSlope(D d, const loss_term& term, const RowView<T>& row,
                                   [[maybe_unused]] size_t index,
                                   [[maybe_unused]] const RowScratch<T>& scratch) {
  if (row.classes == 1) return OneClassRow(row, kKind != loss_kind::taid_kl || term.alpha > 0);
  if constexpr (kKind == loss_kind::decoupled_kl)
    return DecoupledKlSlope(d, term, row, static_cast<size_t>(term.labels[index]));
  else if constexpr (kKind == loss_kind::standardized_kl)
    return StandardizedKlSlope(d, term, row);
  else if constexpr (kKind == loss_kind::adaptive_kl)
    return AdaptiveKlSlope(d, term, row, scratch);
  else if constexpr (kKind == loss_kind::taid_kl)
    return TaidKlSlope(d, term, row);
  else
    return CorrectedKlSlope(d, term, row, static_cast<size_t>(term.labels[index]));
}

template <loss_kind kKind, class T>
double LossRow(const loss_term& term, const RowView<T>& row, [[maybe_unused]] size_t index,
               const RowScratch<T>& scratch, double factor) {
  const FullVector<T> d;
  const double scale = term.scale(), slope = factor * scale / term.temperature;
  if constexpr (kKind == loss_kind::cross_entropy)
    return CrossEntropyRow(d, term, row, static_cast<size_t>(term.labels[index]), scratch, slope);
  else if constexpr (kKind == loss_kind::logit_mse)
    return LogitMseRow(d, row, factor);
  else if constexpr (kKind == loss_kind::user_divergence)
    return scale * UserRow(d, term, row, scratch, slope);
  else if constexpr (loss_term{.kind = kKind}.ranks())
    return RankingRow(d, term, row, scratch, factor);
  else if constexpr (kIsPointwise<kKind>)
    return scale * PointwiseRow(OperatorOf<kKind>(term), d, ScaleOf<T>(term), row, scratch, slope);
  else
    return scale * TransformedRow<kKind>(d, term, row, index, scratch, slope);
}

template <loss_kind kKind, class T>
double LossTemperatureSlope(const loss_term& term, const RowView<T>& row, size_t index,
                            const RowScratch<T>& scratch) {
  const FullVector<T> d;
  if constexpr (kKind == loss_kind::user_divergence)
    return UserSlope(d, term, row, scratch);
  else if constexpr (loss_term{.kind = kKind}.ranks())
    return RankingSlope(d, term, row, scratch);
  else if constexpr (kIsPointwise<kKind>)
    return PointwiseSlope(OperatorOf<kKind>(term), d, term, row, scratch);
  else
    return TransformedSlope<kKind>(d, term, row, index, scratch);
}

// ---- as many rows as lanes

template <loss_kind kKind, class D, class T = Real<D>>
void LossLanes(const loss_term& term, const LaneNumbers<D>& numbers, const LaneRows<D>& rows,
               const hn::Vec<D>& factor, [[maybe_unused]] const T* labels, double* values) {
  const D d;
  const auto slope = hn::Mul(factor, hn::Load(d, numbers.slope));
  if constexpr (kKind == loss_kind::cross_entropy)
    CrossEntropyLanes(d, term, numbers, rows, slope, labels, values);
  else if constexpr (kKind == loss_kind::logit_mse)
    LogitMseLanes(d, rows, factor, values);
  else if constexpr (kKind == loss_kind::forward_kl)
    numbers.same ? ForwardKlLanes<true>(d, numbers, rows, slope, values)
                 : ForwardKlLanes<false>(d, numbers, rows, slope, values);
  else
    numbers.same ? PointwiseLanes<true>(OperatorOf<kKind>(term), d, numbers, rows, slope, values)
                 : PointwiseLanes<false>(OperatorOf<kKind>(term), d, numbers, rows, slope, values);
}

// ---- a pass over one row that has been exponentiated

template <loss_kind kKind, class T>
PassSums LossApartPass(const loss_term& term, Slopes slopes, const ExponentiatedRow<T>& row,
                       const PairScale<T>& scale, const RowSums& sums, double factor) {
  const FullVector<T> d;
  const auto op = ApartOperatorOf<kKind>(term);
  const auto pass = [&](auto kind) HWY_ATTR {
    return scale.IsSame() ? ApartPass<true, kind()>(op, d, row, scale, sums, factor)
                          : ApartPass<false, kind()>(op, d, row, scale, sums, factor);
  };
  if constexpr (op.kSlopeUnit == 0)
    return pass(std::integral_constant<Slopes, Slopes::kNone>());
  else
    return WithSlopes(slopes, pass);
}

template <loss_kind kKind, class T>
PassSums LossClosePass(const loss_term& term, Slopes slopes, const ExponentiatedRow<T>& row,
                       const PairScale<T>& scale, const PairNorms& norms, double factor) {
  const FullVector<T> d;
  return WithSlopes(slopes, [&](auto kind) HWY_ATTR {
    return scale.IsSame() ? ClosePass<true, kind()>(OperatorOf<kKind>(term), d, row, scale, norms, factor)
                          : ClosePass<false, kind()>(OperatorOf<kKind>(term), d, row, scale, norms, factor);
  });
}

// ---- a range of rows of a single loss

// bfloat16 rows that forward_kl reads and writes without a copy.
HWY_INLINE bool IsBfloat16Throughout(const row_job& job) {
  const bool copied = job.scratch.student >= 0 || job.scratch.teacher >= 0 || job.scratch.gradient >= 0;
  return !copied && job.student.type == element_type::bfloat16;
}

// All three matrices hold elements of type T; or rows are copied to and from float.
template <class T>
HWY_INLINE void ForwardKlRangeAs(const row_job& job, size_t begin, size_t end, float* scratch) {
  using D = FullVector<float>;
  if (job.short_rows)
    ForwardKlShortRows<D, T, T, T>(job, scratch).Run(begin, end);
  else
    ForwardKlRows<D, T, T, T>(job, scratch).Run(begin, end);
}

inline void ForwardKlRange(const row_job& job, size_t begin, size_t end, float* scratch) {
  if (IsBfloat16Throughout(job))
    ForwardKlRangeAs<bfloat16>(job, begin, end, scratch);
  else
    ForwardKlRangeAs<float>(job, begin, end, scratch);
}

// ---- all of a loss

// In the compute type T; null where a loss has no such form.
template <class T>
struct LossKernels {
  using D = FullVector<T>;
  // The value of one row and its gradient, T² included in both; factor is weight * coefficient / denominator.
  double (*row)(const loss_term& term, const RowView<T>& row, size_t index, const RowScratch<T>& scratch,
                double factor);
  // The slope of a row's value by the temperatures, T² included.
  double (*temperature_slope)(const loss_term& term, const RowView<T>& row, size_t index,
                              const RowScratch<T>& scratch);
  // One row per lane.
  void (*lanes)(const loss_term& term, const LaneNumbers<D>& numbers, const LaneRows<D>& rows,
                const hn::Vec<D>& factor, const T* labels, double* values);
  // Beside other losses on exponentials they share.
  PassSums (*apart)(const loss_term& term, Slopes slopes, const ExponentiatedRow<T>& row,
                    const PairScale<T>& scale, const RowSums& sums, double factor);
  double apart_value_unit, apart_slope_unit;
  PassSums (*close)(const loss_term& term, Slopes slopes, const ExponentiatedRow<T>& row,
                    const PairScale<T>& scale, const PairNorms& norms, double factor);
  // Instead of all these for a single loss, where rows are not lanes.
  void (*range)(const row_job& job, size_t begin, size_t end, T* scratch);
};

template <loss_kind kKind, class T>
constexpr LossKernels<T> MakeKernels() {
  LossKernels<T> kernels = {};
  kernels.row = &LossRow<kKind, T>;
  constexpr bool kHasTemperature = loss_term{.kind = kKind}.moves_with_temperature();
  if constexpr (kHasTemperature) kernels.temperature_slope = &LossTemperatureSlope<kKind, T>;
  if constexpr (kIsPointwise<kKind> || !kHasTemperature) kernels.lanes = &LossLanes<kKind, FullVector<T>>;
  if constexpr (sizeof(T) == 4 && kKind == loss_kind::forward_kl) {
    kernels.range = &ForwardKlRange;
  } else if constexpr (sizeof(T) == 4 && kIsPointwise<kKind>) {
    using Apart = decltype(ApartOperatorOf<kKind>(std::declval<const loss_term&>()));
    if constexpr (!std::is_same_v<Apart, NoOperator>) {
      kernels.apart = &LossApartPass<kKind, T>;
      kernels.apart_value_unit = Apart::kValueUnit;
      kernels.apart_slope_unit = Apart::kSlopeUnit;
    }
    kernels.close = &LossClosePass<kKind, T>;
  }
  return kernels;
}

template <loss_kind kKind, class T>
inline constexpr LossKernels<T> kKernels = MakeKernels<kKind, T>();

#if defined(DISTILL_HEADER_ONLY)
template <class T>
HWY_INLINE const LossKernels<T>& KernelsOf(const loss_term& term) {
  return *static_cast<const LossKernels<T>*>(sizeof(T) == 4 ? term.kernels->in_float
                                                            : term.kernels->in_double);
}
#else
template <class T, size_t... kKinds>
constexpr std::array<LossKernels<T>, sizeof...(kKinds)> AllKernels(std::index_sequence<kKinds...>) {
  return {MakeKernels<static_cast<loss_kind>(kKinds), T>()...};
}
template <class T>
inline constexpr auto kAllKernels = AllKernels<T>(std::make_index_sequence<detail::loss_kind_count>());

template <class T>
HWY_INLINE const LossKernels<T>& KernelsOf(const loss_term& term) {
  return kAllKernels<T>[static_cast<size_t>(term.kind)];
}
#endif

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
