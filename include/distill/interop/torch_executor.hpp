#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <atomic>
#include <distill/alignment/matrix_product.hpp>
#include <distill/execution/executor.hpp>
#include <distill/execution/units.hpp>

namespace distill::inline DISTILL_ABI {

/// Runs rows on libtorch's own threads, at::parallel_for; at::set_num_threads says how many.
///
/// Rows are cut into small units handed out dynamically. From inside at::parallel_for it runs on the calling
/// thread. An exception of a unit is rethrown in the caller after the others have ended; units not begun by
/// then are skipped. Where libtorch is built with OpenMP, as it usually is, at::parallel_for itself uses
/// several threads only in a translation unit compiled with OpenMP turned on (-fopenmp); otherwise the
/// calling thread runs all.
struct torch_executor {
  std::size_t concurrency() const {
#if defined(INTRA_OP_PARALLEL)
    if (!at::in_parallel_region()) return static_cast<std::size_t>(std::max(at::get_num_threads(), 1));
#endif
    return 1;
  }

  void for_each_block(std::size_t count, std::size_t grain, block_function f) const {
    const std::size_t team = concurrency();
    const detail::units units(count, grain, team);
    if (units.number <= 1 || team <= 1) {
      if (count > 0) f(0, count);
      return;
    }
    std::atomic<std::size_t> next{0};
    const auto work = [&](std::int64_t, std::int64_t) {
      try {
        for (std::size_t unit; (unit = next.fetch_add(1)) < units.number;)
          f(units.begin(unit), units.begin(unit + 1));
      } catch (...) {
        next.store(units.number);
        throw;
      }
    };
    at::parallel_for(0, static_cast<std::int64_t>(std::min(team, units.number)), 1, work);
  }
};

/// Products of matrices by libtorch, on its threads: a matrix_product for the alignments and adapters that
/// need one.
struct torch_product {
  template <class T>
  void multiply(double alpha, matrix_view<const T> a, matrix_view<const T> b, double beta,
                matrix_view<T> c) const {
    const at::NoGradGuard guard;
    at::Tensor result = tensor_over(c);
    at::addmm_out(result, result, tensor_over(a), tensor_over(b), beta, alpha);
  }
  void multiply(double alpha, matrix_view<const float> a, matrix_view<const float> b, double beta,
                matrix_view<float> c) const {
    multiply<float>(alpha, a, b, beta, c);
  }
  void multiply(double alpha, matrix_view<const double> a, matrix_view<const double> b, double beta,
                matrix_view<double> c) const {
    multiply<double>(alpha, a, b, beta, c);
  }

 private:
  template <class T>
  static at::Tensor tensor_over(matrix_view<T> m) {
    using scalar = std::remove_const_t<T>;
    return at::from_blob(const_cast<scalar*>(m.data_handle()),
                         {static_cast<std::int64_t>(m.rows()), static_cast<std::int64_t>(m.columns())},
                         {m.stride(0), m.stride(1)}, c10::CppTypeToScalarType<scalar>::value);
  }
};

namespace detail {

inline constexpr torch_executor executor_of_torch{};
inline constexpr torch_product product_of_torch{};

/// libtorch's threads, unless the caller chose.
inline executor_ref torch_executor_or(const executor_ref& given) {
  return given.is_default() ? executor_ref(executor_of_torch) : given;
}

}  // namespace detail
}  // namespace distill::inline DISTILL_ABI
