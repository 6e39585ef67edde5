#pragma once

#include <distill/view/matrix_like.hpp>

namespace distill::inline DISTILL_ABI {

/// [batch, sequence, vocabulary] memory seen as [batch * sequence, vocabulary] rows, without copying. Strides are in
/// elements. The two leading dimensions merge when a step in `batch` is `sequence` steps in `sequence`; a
/// dimension of extent 1 always merges.
/// @throws layout_error if they do not merge
template <element T>
constexpr matrix_view<T> flatten_leading(T* data, std::size_t batch, std::size_t sequence, std::size_t vocabulary,
                                         std::ptrdiff_t batch_stride, std::ptrdiff_t sequence_stride,
                                         std::ptrdiff_t vocabulary_stride) {
  if (batch > 1 && sequence > 1 && batch_stride != static_cast<std::ptrdiff_t>(sequence) * sequence_stride)
    throw layout_error("flatten_leading: batch stride " + std::to_string(batch_stride) + " is not " +
                       std::to_string(sequence) + " x sequence stride " + std::to_string(sequence_stride) +
                       ", so the rows are not evenly spaced");
  const std::ptrdiff_t row_stride = sequence > 1 ? sequence_stride : batch_stride;
  return {data, batch * sequence, vocabulary, row_stride, vocabulary_stride};
}

/// The same for compact row-major memory.
template <element T>
constexpr matrix_view<T> flatten_leading(T* data, std::size_t batch, std::size_t sequence, std::size_t vocabulary) {
  return {data, batch * sequence, vocabulary};
}

/// The same for an xtensor-like or mdspan-like array of rank 3.
/// @throws shape_error if the rank is not 3, layout_error if the leading dimensions do not merge
template <class X>
constexpr auto flatten_leading(X&& x) {
  using object = std::remove_reference_t<X>;
  static_assert(xtensor_like<object> || mdspan_like<object>,
                "distill: flatten_leading needs an array of rank 3 in memory; evaluate a lazy expression first");
  if constexpr (xtensor_like<object> || mdspan_like<object>) {
    static_assert(std::is_lvalue_reference_v<X> || !detail::owns_elements<std::remove_const_t<object>>(),
                  "distill: this argument is a temporary that owns its elements; give it a name first");
    const auto require_rank = [](std::size_t rank) {
      if (rank != 3)
        throw shape_error("flatten_leading: needs [batch, sequence, vocabulary], this array has " +
                          std::to_string(rank) + " dimensions");
    };
    const auto extent = [](auto value) { return static_cast<std::size_t>(value); };
    const auto step = [](auto value) { return static_cast<std::ptrdiff_t>(value); };
    if constexpr (xtensor_like<object>) {
      require_rank(x.dimension());
      return flatten_leading(x.data() + x.data_offset(), extent(x.shape()[0]), extent(x.shape()[1]),
                             extent(x.shape()[2]), step(x.strides()[0]), step(x.strides()[1]),
                             step(x.strides()[2]));
    } else {
      require_rank(x.rank());
      return flatten_leading(x.data_handle(), extent(x.extent(0)), extent(x.extent(1)), extent(x.extent(2)),
                             step(x.stride(0)), step(x.stride(1)), step(x.stride(2)));
    }
  }
}

}  // namespace distill::inline DISTILL_ABI
