#pragma once

#include <ATen/core/Tensor.h>

#include <distill/loss/label_view.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/mask_view.hpp>
#include <distill/view/untyped_tensor.hpp>
#include <string>

namespace distill::inline DISTILL_ABI {

namespace detail {

/// A tensor and how messages call it.
struct named_tensor {
  const at::Tensor& tensor;
  const char* function;
  const char* name;

  std::string subject() const { return std::string(function) + ": " + name; }
};

inline void require_plain_memory(const named_tensor& x) {
  if (!x.tensor.defined()) throw layout_error(x.subject() + " is an undefined tensor");
  if (!x.tensor.device().is_cpu())
    throw layout_error(x.subject() + " is on the device " + x.tensor.device().str() + ", needs cpu");
  if (x.tensor.layout() != at::kStrided || x.tensor.is_quantized() || !x.tensor.has_storage())
    throw layout_error(x.subject() +
                       " is sparse, quantized or without memory of its own, needs a strided tensor");
  if (x.tensor.is_neg())
    throw layout_error(x.subject() +
                       " is negated lazily, so its memory holds other numbers; call resolve_neg()");
}

inline void require_rank(const named_tensor& x, std::int64_t rank, const char* hint) {
  if (x.tensor.dim() == rank) return;
  throw shape_error(x.subject() + " has " + std::to_string(x.tensor.dim()) + " dimensions, needs " +
                    std::to_string(rank) + hint);
}

[[noreturn]] inline void throw_scalar_type(const named_tensor& x, const char* needed) {
  throw layout_error(x.subject() + " is of " + c10::toString(x.tensor.scalar_type()) + ", needs " + needed);
}

inline element_type element_type_of(const named_tensor& x) {
  switch (x.tensor.scalar_type()) {
    case at::kFloat:
      return element_type::float32;
    case at::kDouble:
      return element_type::float64;
    case at::kBFloat16:
      return element_type::bfloat16;
    case at::kHalf:
      return element_type::float16;
    default:
      throw_scalar_type(x, "Float, Double, BFloat16 or Half");
  }
}

inline output_matrix matrix_of(const named_tensor& x) {
  require_plain_memory(x);
  require_rank(x, 2, x.tensor.dim() == 3 ? "; flatten(0, 1) makes rows of [batch, sequence, classes]" : "");
  output_matrix m;
  m.data = x.tensor.data_ptr();
  m.rows = static_cast<std::size_t>(x.tensor.size(0)), m.columns = static_cast<std::size_t>(x.tensor.size(1));
  m.row_stride = x.tensor.stride(0), m.column_stride = x.tensor.stride(1);
  m.type = element_type_of(x);
  return m;
}

// Of rank 4; or of rank 3, with a dimension of extent 1 put at `inserted`.
inline output_tensor tensor_of(const named_tensor& x, std::size_t inserted) {
  require_plain_memory(x);
  const bool is_short = x.tensor.dim() == 3;
  if (!is_short) require_rank(x, 4, ", or 3 where one is left out");
  output_tensor result;
  result.data = x.tensor.data_ptr();
  result.type = element_type_of(x);
  std::int64_t from = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const bool is_new = is_short && i == inserted;
    result.extents[i] = is_new ? 1 : static_cast<std::size_t>(x.tensor.size(from));
    result.strides[i] = is_new ? 0 : static_cast<std::ptrdiff_t>(x.tensor.stride(from));
    from += is_new ? 0 : 1;
  }
  return result;
}

template <class T>
vector_view<T> vector_of(const named_tensor& x) {
  require_plain_memory(x);
  require_rank(x, 1, "");
  constexpr at::ScalarType type = c10::CppTypeToScalarType<std::remove_const_t<T>>::value;
  if (x.tensor.scalar_type() != type) throw_scalar_type(x, c10::toString(type));
  return {static_cast<T*>(x.tensor.data_ptr()), static_cast<std::size_t>(x.tensor.size(0)),
          x.tensor.stride(0)};
}

template <class T>
matrix_view<T> exact_matrix(const named_tensor& x) {
  constexpr at::ScalarType type = c10::CppTypeToScalarType<std::remove_const_t<T>>::value;
  require_plain_memory(x);
  require_rank(x, 2, "");
  if (x.tensor.scalar_type() != type) throw_scalar_type(x, c10::toString(type));
  return {x.tensor.data_ptr<std::remove_const_t<T>>(), static_cast<std::size_t>(x.tensor.size(0)),
          static_cast<std::size_t>(x.tensor.size(1)), x.tensor.stride(0), x.tensor.stride(1)};
}

template <class X>
concept torch_tensor_like = std::same_as<std::remove_cvref_t<X>, at::Tensor>;

// A const tensor is read only.
template <class X, class Output, class Input>
using torch_view_of = std::conditional_t<std::is_const_v<std::remove_reference_t<X>>, Input, Output>;

template <class X>
constexpr void require_named() {
  static_assert(std::is_lvalue_reference_v<X>,
                "distill: this tensor is a temporary and its memory may be gone; give it a name first");
}

}  // namespace detail

/// A tensor of rank 2 as a matrix for every function of the library: `loss(torch_matrix(student), ...)`.
///
/// Nothing is copied: any strides and offset, those of t(), slices and expand included; Float, Double,
/// BFloat16 or Half. A const tensor gives a view that cannot be written. What is written through a view is
/// not seen by autograd's check of versions, and values that were read are not part of its graph: see
/// torch_loss. The tensor must outlive the view; a temporary does not compile.
/// @throws layout_error for another device, dtype or layout, shape_error for another rank
template <detail::torch_tensor_like X>
auto torch_matrix(X&& tensor) {
  detail::require_named<X>();
  return detail::torch_view_of<X, detail::output_matrix, detail::input_matrix>(
      detail::matrix_of({tensor, "torch_matrix", "tensor"}));
}

/// The same of rank 4, [batch, heads, rows, columns]; a tensor of rank 3 gets a dimension of extent 1 at
/// `inserted`.
template <std::size_t inserted = 1, detail::torch_tensor_like X>
auto torch_tensor(X&& tensor) {
  detail::require_named<X>();
  return detail::torch_view_of<X, detail::output_tensor, detail::input_tensor>(
      detail::tensor_of({tensor, "torch_tensor", "tensor"}, inserted));
}

/// A tensor of rank 1 of exactly T, for weights, masks and results: `{.row_weights =
/// torch_vector<float>(mask)}`.
/// @throws layout_error for another device, dtype or layout, shape_error for another rank
template <class T, detail::torch_tensor_like X>
auto torch_vector(X&& tensor) {
  detail::require_named<X>();
  using element = std::conditional_t<std::is_const_v<std::remove_reference_t<X>>, const T, T>;
  return detail::vector_of<element>({tensor, "torch_vector", "tensor"});
}

/// A tensor of rank 1 of Long, Int or Byte as class indices or lengths.
/// @throws layout_error for another device, dtype or layout, shape_error for another rank
template <detail::torch_tensor_like X>
label_view torch_labels(X&& tensor) {
  detail::require_named<X>();
  const detail::named_tensor x{tensor, "torch_labels", "tensor"};
  detail::require_plain_memory(x);
  switch (tensor.scalar_type()) {
    case at::kLong:
      return detail::vector_of<const std::int64_t>(x);
    case at::kInt:
      return detail::vector_of<const std::int32_t>(x);
    case at::kByte:
      return detail::vector_of<const std::uint8_t>(x);
    default:
      detail::throw_scalar_type(x, "Long, Int or Byte");
  }
}

/// A tensor of rank 2, [samples, positions], of Bool, Byte, Char, Int, Long or Float as a mask: not 0 takes
/// part.
/// @throws layout_error for another device, dtype or layout, shape_error for another rank
template <detail::torch_tensor_like X>
mask_view torch_mask(X&& tensor) {
  detail::require_named<X>();
  const detail::named_tensor x{tensor, "torch_mask", "tensor"};
  detail::require_plain_memory(x);
  detail::require_rank(x, 2, "");
  const auto view = [&]<class T>(const T* data) {
    return mask_view(matrix_view<const T>(data, static_cast<std::size_t>(tensor.size(0)),
                                          static_cast<std::size_t>(tensor.size(1)), tensor.stride(0),
                                          tensor.stride(1)));
  };
  const void* data = tensor.data_ptr();
  switch (tensor.scalar_type()) {
    case at::kBool:
    case at::kByte:
    case at::kChar:
      return view(static_cast<const std::uint8_t*>(data));
    case at::kInt:
      return view(static_cast<const std::int32_t*>(data));
    case at::kLong:
      return view(static_cast<const std::int64_t*>(data));
    case at::kFloat:
      return view(static_cast<const float*>(data));
    default:
      detail::throw_scalar_type(x, "Bool, Byte, Char, Int, Long or Float");
  }
}

}  // namespace distill::inline DISTILL_ABI
