#pragma once

#include <distill/view/as_view.hpp>
#include <distill/view/untyped_matrix.hpp>
#include <utility>

namespace distill::inline DISTILL_ABI::detail {

/// A view of memory to be written, with its element type as a run-time value.
template <class Untyped, class View>
Untyped as_written(const View& view) {
  constexpr bool writable = requires { Untyped(view); };
  static_assert(writable, "distill: the output or gradient must be writable, and this one is const");
  if constexpr (writable)
    return Untyped(view);
  else
    return {};
}

/// The same of any matrix.
template <class X>
output_matrix written_to(X&& x) {
  return as_written<output_matrix>(as_view(std::forward<X>(x)));
}

}  // namespace distill::inline DISTILL_ABI::detail
