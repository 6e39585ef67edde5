#pragma once

#include <distill/view/as_view.hpp>
#include <utility>

namespace distill::inline DISTILL_ABI {

/// The feature maps of two layers, [samples * positions, channels] each: the positions of a sample are
/// consecutive rows, and the channels may differ. The same struct takes their gradients.
template <class First, class Second>
struct map_pair {
  matrix_view<First> first;
  matrix_view<Second> second;

  template <class A, class B>
  map_pair(A&& a, B&& b) : first(as_view(std::forward<A>(a))), second(as_view(std::forward<B>(b))) {}
};

template <class A, class B>
map_pair(A&&, B&&) -> map_pair<typename decltype(as_view(std::declval<A>()))::element,
                               typename decltype(as_view(std::declval<B>()))::element>;

}  // namespace distill::inline DISTILL_ABI
