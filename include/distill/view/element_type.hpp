#pragma once

#include <cstddef>
#include <distill/numeric/bfloat16.hpp>
#include <distill/numeric/float16.hpp>
#include <type_traits>

namespace distill::inline DISTILL_ABI {

/// The element types every matrix argument may have.
enum class element_type { float32, float64, bfloat16, float16 };

/// Which of them T is. Specialise for a type that is layout-compatible with one of the four
/// (`template <> struct distill::element_traits<my_half> { static constexpr auto type = ...; };`).
template <class T>
struct element_traits;
template <>
struct element_traits<float> {
  static constexpr element_type type = element_type::float32;
};
template <>
struct element_traits<double> {
  static constexpr element_type type = element_type::float64;
};
template <>
struct element_traits<bfloat16> {
  static constexpr element_type type = element_type::bfloat16;
};
template <>
struct element_traits<float16> {
  static constexpr element_type type = element_type::float16;
};

template <class T>
concept element = requires { element_traits<std::remove_const_t<T>>::type; };

/// Bytes of one element.
constexpr std::size_t size_of(element_type type) {
  return type == element_type::float64 ? 8 : type == element_type::float32 ? 4 : 2;
}

/// "float32", "float64", "bfloat16", "float16".
constexpr const char* name_of(element_type type) {
  switch (type) {
    case element_type::float32: return "float32";
    case element_type::float64: return "float64";
    case element_type::bfloat16: return "bfloat16";
    case element_type::float16: return "float16";
  }
  return "";
}

}  // namespace distill::inline DISTILL_ABI
