// A loss of the library beside the same loss in libtorch's operations, over random shapes, layouts, element
// types and upstream gradients.
#pragma once

#include <ATen/ATen.h>

#include <distill/interop/torch.hpp>
// libtorch and Catch2 both define CHECK.
#undef CHECK
#include <catch2/catch.hpp>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace torch_agreement {

using shape = std::vector<std::int64_t>;

/// How a tensor lies in memory.
enum class layout { compact, transposed, slice, every_second };
inline constexpr layout every_layout[] = {layout::compact, layout::transposed, layout::slice,
                                          layout::every_second};
inline constexpr at::ScalarType every_type[] = {at::kDouble, at::kFloat, at::kBFloat16, at::kHalf};

/// The same numbers, lying otherwise; what is around them is NaN.
inline at::Tensor laid_out(const at::Tensor& x, layout how) {
  if (how == layout::compact) return x.contiguous();
  if (how == layout::transposed) return x.transpose(-1, -2).contiguous().transpose(-1, -2);
  shape around = x.sizes().vec();
  around.back() = 2 * around.back() + 3;
  at::Tensor memory = at::full(around, NAN, x.options());
  const std::int64_t step = how == layout::slice ? 1 : 2;
  at::Tensor inside = memory.slice(-1, 2, 2 + step * x.size(-1), step);
  return inside.copy_(x);
}

/// libtorch seeds its generator differently on every run unless it is told.
inline const bool seeded = (at::manual_seed(7), true);

/// Uniformly drawn, the same on every run.
inline std::mt19937_64& random_bits() {
  static std::mt19937_64 bits(7);
  return bits;
}
inline std::int64_t random_extent(std::int64_t least, std::int64_t most) {
  return least + static_cast<std::int64_t>(random_bits()() % static_cast<std::uint64_t>(most - least + 1));
}

/// The largest difference, over the largest expected entry.
inline double difference(const at::Tensor& got, const at::Tensor& expected) {
  const at::Tensor right = expected.to(at::kDouble);
  const at::Tensor size = right.abs().max().clamp_min(1e-30);
  return ((got.to(at::kDouble) - right).abs().max() / size).item<double>();
}
inline double tolerance(at::ScalarType type, double of_double = 1e-9) {
  switch (type) {
    case at::kDouble:
      return of_double;
    case at::kFloat:
      return 2e-5;
    case at::kHalf:
      return 1e-3;
    default:
      return 8e-3;
  }
}

/// dLoss/dInput at the i-th entry, by a central difference; input contiguous and Double.
template <class Loss>
double central_difference(const at::Tensor& input, std::int64_t i, double step, const Loss& loss) {
  const at::NoGradGuard none;
  double& entry = input.data_ptr<double>()[i];
  const double kept = entry;
  entry = kept + step;
  const double above = loss().template item<double>();
  entry = kept - step;
  const double below = loss().template item<double>();
  entry = kept;
  return (above - below) / (2 * step);
}

using function = std::function<at::Tensor(const at::Tensor& student, const at::Tensor& teacher)>;

/// Value and gradient of `ours` in the given types and layouts, against `theirs` in double.
inline void check_agreement(const function& ours, const function& theirs, const shape& student_shape,
                            const shape& teacher_shape, at::ScalarType student_type,
                            at::ScalarType teacher_type, layout how) {
  const auto random = [&](const shape& extents, at::ScalarType type) {
    return laid_out(at::randn(extents, at::kDouble).mul(2).to(type), how);
  };
  const at::Tensor student = random(student_shape, student_type).requires_grad_(true);
  const at::Tensor teacher = random(teacher_shape, teacher_type);
  const at::Tensor reference = student.detach().to(at::kDouble).contiguous().requires_grad_(true);

  const at::Tensor value = ours(student, teacher);
  const at::Tensor expected = theirs(reference, teacher.to(at::kDouble));
  REQUIRE(value.sizes() == expected.sizes());
  CHECK(value.scalar_type() == (student_type == at::kDouble ? at::kDouble : at::kFloat));
  CAPTURE(student_shape, c10::toString(student_type), c10::toString(teacher_type), static_cast<int>(how));
  const at::ScalarType least = teacher_type == at::kDouble ? student_type : value.scalar_type();
  CHECK(difference(value, expected) < tolerance(least == at::kDouble ? at::kDouble : at::kFloat));

  const at::Tensor upstream = at::randn(expected.sizes(), at::kDouble).add(0.1);
  value.backward(upstream.to(value.scalar_type()));
  expected.backward(upstream.to(value.scalar_type()).to(at::kDouble));
  REQUIRE(student.grad().scalar_type() == student_type);
  // Half holds nothing below 6e-8.
  const double least_half =
      student_type == at::kHalf ? 1e-7 / reference.grad().abs().max().item<double>() : 0;
  CHECK(difference(student.grad(), reference.grad()) < tolerance(student_type, 1e-8) + least_half);
}

/// Every layout and pair of types, at random shapes [rows, classes].
inline void check_matrices(const std::string& name, const function& ours, const function& theirs,
                           std::int64_t least_rows = 1, bool same_width = true) {
  INFO(name);
  for (const layout how : every_layout)
    for (const at::ScalarType student_type : every_type)
      for (const at::ScalarType teacher_type : every_type) {
        const std::int64_t rows = random_extent(least_rows, 9), classes = random_extent(2, 130);
        check_agreement(ours, theirs, {rows, classes}, {rows, same_width ? classes : random_extent(2, 50)},
                        student_type, teacher_type, how);
      }
}

}  // namespace torch_agreement
