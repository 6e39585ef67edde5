// What an adapter refuses, and the values it begins with.
#pragma once

#include <cmath>
#include <distill/alignment/adapter.hpp>
#include <distill/error/parameter_text-inl.hpp>
#include <distill/view/require_memory-inl.hpp>
#include <initializer_list>

namespace distill::inline DISTILL_ABI::detail {

// ---- checks

inline void check_adapter(const adapter& a) {
  if (a.student_width == 0 || a.teacher_width == 0)
    throw shape_error("adapter: student_width is " + std::to_string(a.student_width) + ", teacher_width is " +
                      std::to_string(a.teacher_width) + "; both must be > 0");
  if (a.residual && a.student_width != a.teacher_width)
    throw parameter_error("adapter: residual needs equal widths, student_width is " +
                          std::to_string(a.student_width) + ", teacher_width is " +
                          std::to_string(a.teacher_width));
  if (!(std::isfinite(a.epsilon) && a.epsilon > 0))
    throw_parameter("adapter", "epsilon", "finite and > 0", text_of(a.epsilon));
}

template <class T>
void check_adapter_rows(const char* what, const matrix_view<T>& m, std::size_t rows, std::size_t columns) {
  const std::string name = std::string("adapter: ") + what;
  if (m.rows() != rows || m.columns() != columns)
    throw shape_error(name + " is " + std::to_string(m.rows()) + " x " + std::to_string(m.columns()) +
                      ", must be " + std::to_string(rows) + " x " + std::to_string(columns));
  if (m.data_handle() == nullptr) throw layout_error(name + " has no memory");
  const auto width = static_cast<std::ptrdiff_t>(columns);
  if ((columns > 1 && m.stride(1) != 1) || (rows > 1 && m.stride(0) < width))
    throw layout_error(name + " must have contiguous rows, one after the other");
}

inline void check_adapter_memory(const char* what, std::size_t got, std::size_t expected) {
  if (got != expected)
    throw shape_error(std::string("adapter: ") + what + " has " + std::to_string(got) + " elements, needs " +
                      std::to_string(expected));
}

template <class T>
void check_adapter_backward(const adapter& a, const matrix_view<const T>& input,
                            const matrix_view<const T>& upstream, const matrix_view<T>& gradient,
                            const adapter_call<T>& call) {
  check_adapter(a);
  const std::size_t rows = input.rows();
  if (rows == 0) throw shape_error("adapter: input has 0 rows");
  check_adapter_rows("input", input, rows, a.student_width);
  check_adapter_rows("output_gradient", upstream, rows, a.teacher_width);
  if (gradient.data_handle() != nullptr || gradient.rows() > 0)
    check_adapter_rows("input_gradient", gradient, rows, a.student_width);
  check_adapter_memory("parameters", call.parameters.size(), a.parameter_count());
  check_adapter_memory("saved", call.saved.size(), a.saved_count(rows));
  if (!call.parameter_gradient.empty())
    check_adapter_memory("parameter_gradient", call.parameter_gradient.size(), a.parameter_count());
  require_apart(
      "adapter",
      {{"input_gradient", bytes_of(gradient)}, {"parameter_gradient", bytes_of(call.parameter_gradient)}},
      {{"input", bytes_of(input)},
       {"output_gradient", bytes_of(upstream)},
       {"parameters", bytes_of(call.parameters)},
       {"saved", bytes_of(call.saved)}});
}

// ---- initial values

// A number in (-1, 1) that depends on seed and position only.
inline double uniform_at(std::uint64_t seed, std::uint64_t position) {
  std::uint64_t z = seed * 0xd1342543de82ef95u + (position + 1) * 0x9e3779b97f4a7c15u;
  for (int round = 0; round < 2; ++round) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
  }
  return (static_cast<double>(z >> 11) + 0.5) * 0x1p-52 - 1;
}

template <class T>
void fill_weight(const matrix_view<T>& weight, const adapter_initialization& how, std::uint64_t first,
                 double scale) {
  const auto in = static_cast<double>(weight.columns()), out = static_cast<double>(weight.rows());
  const double bound = scale * std::sqrt(6 / (how.scheme == weight_scheme::xavier ? in + out : in));
  for (std::size_t i = 0; i < weight.rows() * weight.columns(); ++i)
    weight.data_handle()[i] = static_cast<T>(bound * uniform_at(how.seed, first + i));
}

template <class T>
void initialize_adapter(const adapter& a, std::span<T> memory, const adapter_initialization& how) {
  check_adapter(a);
  if (!(std::isfinite(how.up_scale) && how.up_scale >= 0))
    throw_parameter("adapter", "up_scale", "finite and >= 0", text_of(how.up_scale));
  const adapter_parameters<T> parts = a.view(memory);
  fill_weight(parts.down_weight, how, 0, 1);
  fill_weight(parts.up_weight, how, a.bottleneck * a.student_width, how.up_scale);
  const auto fill = [](const vector_view<T>& v, T value) {
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = value;
  };
  fill(parts.down_bias, 0);
  fill(parts.up_bias, 0);
  fill(parts.gain, 1);
  fill(parts.shift, 0);
}

}  // namespace distill::inline DISTILL_ABI::detail
