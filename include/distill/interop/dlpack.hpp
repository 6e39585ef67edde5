#pragma once

#include <concepts>
#include <cstdint>
#include <distill/loss/label_view.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/untyped_tensor.hpp>
#include <string>

namespace distill::inline DISTILL_ABI {

/// DLPack's DLTensor, from any version of dlpack.h since 0.5; this header includes none.
template <class X>
concept dlpack_tensor_like = requires(const X& x) {
  { x.data } -> std::convertible_to<const void*>;
  {x.device.device_type};
  { x.ndim } -> std::convertible_to<std::int64_t>;
  { x.dtype.code } -> std::convertible_to<int>;
  { x.dtype.bits } -> std::convertible_to<int>;
  { x.dtype.lanes } -> std::convertible_to<int>;
  { x.shape } -> std::convertible_to<const std::int64_t*>;
  { x.strides } -> std::convertible_to<const std::int64_t*>;
  { x.byte_offset } -> std::convertible_to<std::uint64_t>;
};

/// DLManagedTensor or DLManagedTensorVersioned; whoever has it still calls its deleter.
template <class X>
concept dlpack_managed_like = requires(const X& x) {
  { x.dl_tensor } -> dlpack_tensor_like;
};

namespace detail {

/// A DLTensor of whatever version, and how messages call it.
struct dlpack_description {
  const char* function;
  void* data = nullptr;
  std::int64_t device = 0, rank = 0;
  int code = 0, bits = 0, lanes = 1;
  const std::int64_t *shape = nullptr, *strides = nullptr;
  bool is_read_only = false;

  [[noreturn]] void refuse(const std::string& what) const {
    throw layout_error(std::string(function) + ": the tensor " + what);
  }
  std::string type_text() const {
    constexpr const char* names[] = {"int", "uint", "float", "handle", "bfloat", "complex", "bool"};
    const std::string name =
        code >= 0 && code < 7 ? names[code] : "type code " + std::to_string(code) + " of bits ";
    return name + std::to_string(bits);
  }
  std::size_t extent(std::int64_t i) const {
    if (shape[i] < 0)
      throw shape_error(std::string(function) + ": the tensor has the extent " + std::to_string(shape[i]));
    return static_cast<std::size_t>(shape[i]);
  }
  /// Of dimension i: given, or that of compact row-major memory.
  std::ptrdiff_t stride(std::int64_t i) const {
    if (strides != nullptr) return static_cast<std::ptrdiff_t>(strides[i]);
    std::ptrdiff_t step = 1;
    for (std::int64_t j = i + 1; j < rank; ++j) step *= static_cast<std::ptrdiff_t>(shape[j]);
    return step;
  }
};

template <class X>
dlpack_description describe_dlpack(const char* function, const X& x) {
  if constexpr (dlpack_managed_like<X>) {
    dlpack_description d = describe_dlpack(function, x.dl_tensor);
    constexpr std::uint64_t read_only = 1;  // DLPACK_FLAG_BITMASK_READ_ONLY, since 1.0
    if constexpr (requires { x.flags; })
      d.is_read_only = (static_cast<std::uint64_t>(x.flags) & read_only) != 0;
    return d;
  } else {
    dlpack_description d{.function = function};
    d.device = static_cast<std::int64_t>(x.device.device_type);
    d.rank = x.ndim;
    d.code = x.dtype.code, d.bits = x.dtype.bits, d.lanes = x.dtype.lanes;
    d.shape = x.shape, d.strides = x.strides;
    constexpr std::int64_t cpu = 1, cuda_host = 3, rocm_host = 11;
    if (d.device != cpu && d.device != cuda_host && d.device != rocm_host)
      d.refuse("is on the device type " + std::to_string(d.device) + ", needs 1 (CPU), or 3 or 11 (pinned)");
    if (d.lanes != 1) d.refuse("has elements of " + std::to_string(d.lanes) + " lanes, needs 1");
    if (d.rank > 0 && d.shape == nullptr) d.refuse("has no shape");
    if (x.data != nullptr) d.data = const_cast<char*>(static_cast<const char*>(x.data)) + x.byte_offset;
    return d;
  }
}

inline element_type element_type_of(const dlpack_description& d) {
  constexpr int floating = 2, brain = 4;
  if (d.code == floating && d.bits == 32) return element_type::float32;
  if (d.code == floating && d.bits == 64) return element_type::float64;
  if (d.code == floating && d.bits == 16) return element_type::float16;
  if (d.code == brain && d.bits == 16) return element_type::bfloat16;
  d.refuse("is of " + d.type_text() + ", needs float16, float32, float64 or bfloat16");
}

inline void require_rank(const dlpack_description& d, std::int64_t rank, const char* hint = "") {
  if (d.rank != rank)
    throw shape_error(std::string(d.function) + ": the tensor has " + std::to_string(d.rank) +
                      " dimensions, needs " + std::to_string(rank) + hint);
}

inline output_matrix matrix_of(const dlpack_description& d) {
  require_rank(d, 2);
  output_matrix m;
  m.data = d.data, m.type = element_type_of(d);
  m.rows = d.extent(0), m.columns = d.extent(1);
  m.row_stride = d.stride(0), m.column_stride = d.stride(1);
  return m;
}

// Of rank 4; or of rank 3, with a dimension of extent 1 put at `inserted`.
inline output_tensor tensor_of(const dlpack_description& d, std::size_t inserted) {
  const bool is_short = d.rank == 3;
  if (!is_short) require_rank(d, 4, ", or 3 where one is left out");
  output_tensor result;
  result.data = d.data, result.type = element_type_of(d);
  std::int64_t from = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const bool is_new = is_short && i == inserted;
    result.extents[i] = is_new ? 1 : d.extent(from);
    result.strides[i] = is_new ? 0 : d.stride(from);
    from += is_new ? 0 : 1;
  }
  return result;
}

template <class T>
vector_view<T> vector_of(const dlpack_description& d) {
  require_rank(d, 1);
  return {static_cast<T*>(d.data), d.extent(0), d.stride(0)};
}

inline void require_writable(const dlpack_description& d) {
  if (d.is_read_only) d.refuse("is read only");
}

}  // namespace detail

template <class X>
concept dlpack_like = dlpack_tensor_like<X> || dlpack_managed_like<X>;

/// A DLTensor of rank 2 as a matrix that is read: `loss(dlpack_matrix(student), dlpack_matrix(teacher))`.
///
/// Any framework's memory on the CPU, without a copy: float16, float32, float64 or bfloat16 of one lane, any
/// strides and byte offset; without strides compact row-major. Also a managed tensor; it must outlive the
/// view.
/// @throws layout_error for another device, element type or lanes; shape_error for another rank
template <dlpack_like X>
detail::input_matrix dlpack_matrix(const X& tensor) {
  return detail::matrix_of(detail::describe_dlpack("dlpack_matrix", tensor));
}
/// The same to write to, for gradients. @throws layout_error also if a managed tensor is marked read only
template <dlpack_like X>
detail::output_matrix dlpack_output_matrix(const X& tensor) {
  const auto d = detail::describe_dlpack("dlpack_output_matrix", tensor);
  detail::require_writable(d);
  return detail::matrix_of(d);
}

/// The same of rank 4, [batch, heads, rows, columns]; one of rank 3 gets a dimension of extent 1 at
/// `inserted`.
template <std::size_t inserted = 1, dlpack_like X>
detail::input_tensor dlpack_tensor(const X& tensor) {
  return detail::tensor_of(detail::describe_dlpack("dlpack_tensor", tensor), inserted);
}
template <std::size_t inserted = 1, dlpack_like X>
detail::output_tensor dlpack_output_tensor(const X& tensor) {
  const auto d = detail::describe_dlpack("dlpack_output_tensor", tensor);
  detail::require_writable(d);
  return detail::tensor_of(d, inserted);
}

/// A DLTensor of rank 1 of float32, for weights and masks of rows.
/// @throws layout_error for another device, element type or lanes; shape_error for another rank
template <dlpack_like X>
vector_view<const float> dlpack_vector(const X& tensor) {
  const auto d = detail::describe_dlpack("dlpack_vector", tensor);
  if (d.code != 2 || d.bits != 32) d.refuse("is of " + d.type_text() + ", needs float32");
  return detail::vector_of<const float>(d);
}

/// A DLTensor of rank 1 of int32, int64 or uint8 as class indices.
/// @throws layout_error for another device, element type or lanes; shape_error for another rank
template <dlpack_like X>
label_view dlpack_labels(const X& tensor) {
  const auto d = detail::describe_dlpack("dlpack_labels", tensor);
  if (d.code == 0 && d.bits == 64) return detail::vector_of<const std::int64_t>(d);
  if (d.code == 0 && d.bits == 32) return detail::vector_of<const std::int32_t>(d);
  if (d.code == 1 && d.bits == 8) return detail::vector_of<const std::uint8_t>(d);
  d.refuse("is of " + d.type_text() + ", needs int64, int32 or uint8");
}

}  // namespace distill::inline DISTILL_ABI
