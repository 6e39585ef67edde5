// The kernels on rows of a batch, on the active target: src/batch_rows.cpp, or here in header-only mode.
#pragma once

#include <distill/alignment/batch_job.hpp>

namespace distill::inline DISTILL_ABI::detail {
DISTILL_INLINE void batch_rows(const batch_job& job, std::size_t begin, std::size_t end);
}  // namespace distill::inline DISTILL_ABI::detail

#if defined(DISTILL_HEADER_ONLY)
#include <distill/simd/batch-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {
inline void batch_rows(const batch_job& job, std::size_t begin, std::size_t end) {
  simd::HWY_NAMESPACE::BatchRows(job, begin, end);
}
}  // namespace distill::inline DISTILL_ABI::detail
#endif
