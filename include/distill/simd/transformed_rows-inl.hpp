// The losses that transform a row before they compare it.
#if defined(DISTILL_SIMD_TRANSFORMED_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_TRANSFORMED_ROWS_INL_HPP
#undef DISTILL_SIMD_TRANSFORMED_ROWS_INL_HPP
#else
#define DISTILL_SIMD_TRANSFORMED_ROWS_INL_HPP
#endif

#include <distill/simd/adaptive_kl_rows-inl.hpp>
#include <distill/simd/corrected_kl_rows-inl.hpp>
#include <distill/simd/decoupled_kl_rows-inl.hpp>
#include <distill/simd/standardized_kl_rows-inl.hpp>
#include <distill/simd/taid_kl_rows-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// With one class the probability is 1 whatever the logit: nothing to learn, unless there is no probability.
template <class D>
HWY_INLINE double OneClassRow(D, const RowView<Real<D>>& row, bool reads_teacher) {
  const double value =
      0 * static_cast<double>(row.student[0]) + (reads_teacher ? 0 * static_cast<double>(row.teacher[0]) : 0);
  const bool stores = row.gradient != nullptr && (sizeof(Real<D>) == 8 || value == 0);
  if (stores) row.gradient[0] = static_cast<Real<D>>(row.add ? row.gradient[0] + value : value);
  return value == 0 ? 0 : value;
}

template <class D>
HWY_INLINE double TransformedRow(D d, const loss_term& term, const RowView<Real<D>>& row, size_t index,
                                 const RowScratch<Real<D>>& scratch, double factor) {
  if (row.classes == 1) return OneClassRow(d, row, term.kind != loss_kind::taid_kl || term.alpha > 0);
  switch (term.kind) {
    case loss_kind::decoupled_kl:
      return DecoupledKlRow(d, term, row, static_cast<size_t>(term.labels[index]), scratch, factor);
    case loss_kind::standardized_kl:
      return StandardizedKlRow(d, term, row, scratch, factor);
    case loss_kind::adaptive_kl:
      return AdaptiveKlRow(d, term, row, scratch, factor);
    case loss_kind::taid_kl:
      return TaidKlRow(d, term, row, scratch, factor);
    case loss_kind::corrected_kl:
      return CorrectedKlRow(d, term, row, static_cast<size_t>(term.labels[index]), scratch, factor);
    default:
      return 0;
  }
}

template <class D>
HWY_INLINE double TransformedSlope(D d, const loss_term& term, const RowView<Real<D>>& row, size_t index,
                                   const RowScratch<Real<D>>& scratch) {
  if (row.classes == 1) return OneClassRow(d, row, term.kind != loss_kind::taid_kl || term.alpha > 0);
  switch (term.kind) {
    case loss_kind::decoupled_kl:
      return DecoupledKlSlope(d, term, row, static_cast<size_t>(term.labels[index]));
    case loss_kind::standardized_kl:
      return StandardizedKlSlope(d, term, row);
    case loss_kind::adaptive_kl:
      return AdaptiveKlSlope(d, term, row, scratch);
    case loss_kind::taid_kl:
      return TaidKlSlope(d, term, row);
    case loss_kind::corrected_kl:
      return CorrectedKlSlope(d, term, row, static_cast<size_t>(term.labels[index]));
    default:
      return 0;
  }
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
