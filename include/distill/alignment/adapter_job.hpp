#pragma once

#include <cstddef>
#include <distill/view/element_type.hpp>

namespace distill::inline DISTILL_ABI::detail {

enum class adapter_step {
  activate,            // input += bias, output = GELU(input)
  activate_backward,   // output *= GELU'(input)
  finish,              // output += bias (+ input), then normalised if there is a gain
  normalize_backward,  // output = the gradient in front of the normalisation; input: normalised, upstream
  add,                 // output (+)= input
  column_sums          // output[c] (+)= Σ input[r, c] (upstream[r, c]); runs over columns
};

/// One elementwise step between the products of an adapter, already checked. Matrices are rows of contiguous
/// elements of the type; a pitch is the distance of two rows in elements.
struct adapter_job {
  adapter_step step = adapter_step::add;
  element_type type = element_type::float32;
  std::size_t rows = 0, columns = 0;
  void* input = nullptr;
  const void* upstream = nullptr;
  void* output = nullptr;
  std::ptrdiff_t input_pitch = 0, upstream_pitch = 0, output_pitch = 0;
  const void *bias = nullptr, *gain = nullptr, *shift = nullptr;
  void* normalized = nullptr;         // [rows, columns], compact
  void* inverse_deviation = nullptr;  // [rows]
  double epsilon = 0;
  bool accumulate = false;
};

}  // namespace distill::inline DISTILL_ABI::detail
