// Header-only mode: the kernels for the one SIMD target this translation unit is compiled for. The compiled
// library chooses among its targets in src/evaluate_rows_*.cpp instead.
#pragma once

#include <distill/simd/evaluate_rows-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline void evaluate_rows_float(const row_job& job, std::size_t begin, std::size_t end, void* scratch) {
  simd::HWY_NAMESPACE::EvaluateRows<float>(job, begin, end, scratch);
}
inline void evaluate_rows_double(const row_job& job, std::size_t begin, std::size_t end, void* scratch) {
  simd::HWY_NAMESPACE::EvaluateRows<double>(job, begin, end, scratch);
}

template <loss_kind kind>
const loss_kernels* kernels_of() {
  static constexpr loss_kernels kernels{&simd::HWY_NAMESPACE::kKernels<kind, float>,
                                        &simd::HWY_NAMESPACE::kKernels<kind, double>};
  return &kernels;
}

}  // namespace distill::inline DISTILL_ABI::detail
