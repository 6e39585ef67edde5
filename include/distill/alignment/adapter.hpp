#pragma once

#include <cstdint>
#include <distill/alignment/matrix_product.hpp>
#include <distill/execution/executor.hpp>
#include <distill/execution/workspace.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/vector_view.hpp>
#include <span>

namespace distill::inline DISTILL_ABI {

/// The bound of the uniform distribution that weights [out, in] are drawn from.
enum class weight_scheme {
  xavier,  ///< √(6 / (in + out)), Glorot and Bengio 2010
  he       ///< √(6 / in), He et al. 2015
};

/// How an adapter begins. The numbers depend on the seed only, on every machine: biases 0, gain 1, shift 0.
struct adapter_initialization {
  std::uint64_t seed = 0;
  weight_scheme scheme = weight_scheme::xavier;
  /// Multiplies the last projection (finite, >= 0). 0 or little: with a residual the adapter begins as the
  /// identity.
  double up_scale = 1;
};

/// Where the parts of an adapter are in its parameters; absent parts are empty.
template <class T>
struct adapter_parameters {
  matrix_view<T> down_weight;  ///< [bottleneck, student_width]
  vector_view<T> down_bias;    ///< [bottleneck]
  matrix_view<T> up_weight;    ///< [teacher_width, bottleneck, or student_width if there is none]
  vector_view<T> up_bias;      ///< [teacher_width]
  vector_view<T> gain, shift;  ///< [teacher_width], of the layer normalisation
};

/// The memory an adapter works in and who does the work; T is the element type of all its arguments.
template <class T>
struct adapter_call {
  matrix_product_ref product;
  std::span<const T> parameters;         ///< parameter_count()
  std::span<T> saved = {};               ///< saved_count(rows): written by forward, read by backward
  std::span<T> parameter_gradient = {};  ///< backward: parameter_count(), or empty
  bool accumulate = false;               ///< backward adds to the gradients instead of overwriting them
  executor_ref executor = {};  ///< runs the elementwise steps; the products are the product's affair
  distill::workspace* workspace = nullptr;  ///< backward's scratch; without one a call allocates once
};

/// Takes hidden states from the student's width to the teacher's: the trainable map behind a Transformer's
/// feed-forward block that lets states of different widths be compared.
///
/// Formula: y = x Wᵀ + b; with a bottleneck y = GELU(x Dᵀ + d) Uᵀ + u, GELU(a) = a Φ(a) with the exact normal
/// distribution function Φ(a) = erfc(-a / √2) / 2; then + x if `residual`; then (y - mean) / √(variance +
/// epsilon) gain + shift over each row if `layer_norm`, the variance divided by the width.
/// Shapes: input
/// [rows, student_width], output [rows, teacher_width], of float or double like all memory of a call; rows
/// contiguous, any distance apart. Parameters and everything else are flat runs of memory of the caller's.
/// Options: `bottleneck` (0: one linear map), `layer_norm`, `epsilon` (finite, > 0), `residual` (equal widths
/// only).
/// Throws: shape_error, parameter_error, layout_error, before anything is written. Special values:
/// those of IEEE arithmetic; GELU(-inf) is NaN.
/// Accuracy: GELU and its derivative within 3e-7 max(1, |a|) in
/// float, 4e-16 in double
/// (`tests/alignment/adapter_test.cpp`).
/// Cost: the products, and one or two passes over each matrix between
/// them.
/// Threads and aliasing: the bits do not depend on the executor. Outputs overlap neither inputs nor
/// each other.
/// Source: Houlsby et al. 2019, arXiv 1902.00751, section 2 (bottleneck); Romero et al. 2015,
/// arXiv 1412.6550 (regressor).
struct adapter {
  template <class X>
  using element_of = std::remove_const_t<typename decltype(as_view(std::declval<X>()))::element>;

  std::size_t student_width = 0, teacher_width = 0;
  std::size_t bottleneck = 0;
  bool layer_norm = false;
  double epsilon = 1e-5;
  bool residual = false;

  std::size_t parameter_count() const {
    const std::size_t down = bottleneck * (student_width + 1);
    return down + teacher_width * (inner_width() + 1 + (layer_norm ? 2 : 0));
  }
  /// Elements that forward leaves for backward.
  std::size_t saved_count(std::size_t rows) const {
    return rows * (2 * bottleneck + (layer_norm ? teacher_width + 1 : 0));
  }
  /// Width of what the last projection reads.
  std::size_t inner_width() const { return bottleneck > 0 ? bottleneck : student_width; }

  /// Views into parameters, or into their gradient. @throws shape_error unless there are parameter_count()
  template <class T>
  adapter_parameters<T> view(std::span<T> memory) const {
    require_parameters(memory.size());
    adapter_parameters<T> parts;
    T* next = memory.data();
    const auto take = [&](std::size_t count) { return std::exchange(next, next + count); };
    if (bottleneck > 0) {
      parts.down_weight = {take(bottleneck * student_width), bottleneck, student_width};
      parts.down_bias = {take(bottleneck), bottleneck};
    }
    parts.up_weight = {take(teacher_width * inner_width()), teacher_width, inner_width()};
    parts.up_bias = {take(teacher_width), teacher_width};
    if (!layer_norm) return parts;
    parts.gain = {take(teacher_width), teacher_width};
    parts.shift = {take(teacher_width), teacher_width};
    return parts;
  }

  /// Fills parameters for the beginning of training. @throws shape_error, parameter_error
  void initialize(std::span<float> parameters, const adapter_initialization& how = {}) const;
  void initialize(std::span<double> parameters, const adapter_initialization& how = {}) const;

  /// output = the adapted input.
  template <class Input, class Output>
  void forward(Input&& input, Output&& output, const adapter_call<element_of<Input>>& call) const {
    run_forward(as_view(std::forward<Input>(input)), as_view(std::forward<Output>(output)), call);
  }
  /// From dLoss/dOutput: dLoss/dInput (or no_gradient in its place) and the call's parameter_gradient.
  /// `input`, parameters and saved as forward had and left them.
  template <class Input, class Upstream, class Gradient = no_gradient_t>
  void backward(Input&& input, Upstream&& output_gradient, Gradient&& input_gradient,
                const adapter_call<element_of<Input>>& call) const {
    using T = element_of<Input>;
    matrix_view<T> gradient;
    if constexpr (!std::is_same_v<std::remove_cvref_t<Gradient>, no_gradient_t>)
      gradient = as_view(std::forward<Gradient>(input_gradient));
    run_backward(as_view(std::forward<Input>(input)), as_view(std::forward<Upstream>(output_gradient)),
                 gradient, call);
  }
  bool operator==(const adapter&) const = default;

 private:
  void require_parameters(std::size_t count) const {
    if (count != parameter_count())
      throw shape_error("adapter: parameters has " + std::to_string(count) + " elements, needs " +
                        std::to_string(parameter_count()));
  }
  void run_forward(matrix_view<const float>, matrix_view<float>, const adapter_call<float>&) const;
  void run_forward(matrix_view<const double>, matrix_view<double>, const adapter_call<double>&) const;
  void run_backward(matrix_view<const float>, matrix_view<const float>, matrix_view<float>,
                    const adapter_call<float>&) const;
  void run_backward(matrix_view<const double>, matrix_view<const double>, matrix_view<double>,
                    const adapter_call<double>&) const;
};

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/alignment/adapter-inl.hpp>
#endif
