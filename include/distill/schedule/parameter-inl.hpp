// The sentence of a parameter outside its range.
#pragma once

#include <distill/error/parameter_text-inl.hpp>
#include <distill/schedule/parameter.hpp>

namespace distill::inline DISTILL_ABI::detail {

DISTILL_INLINE void throw_out_of_range(std::string_view name, std::string_view what,
                                       std::string_view expected, double got) {
  throw_parameter(name, what, expected, text_of(got));
}

}  // namespace distill::inline DISTILL_ABI::detail
