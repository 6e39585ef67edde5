// Views of tensors: whatever their strides they show the tensor's numbers; what cannot be viewed is refused.
#include "interop/torch_agreement.hpp"
// after Catch2 is settled
#include <distill/loss/forward_kl.hpp>

using namespace distill;
using namespace torch_agreement;

namespace {

/// The numbers a view shows, as a tensor.
at::Tensor seen(const distill::detail::input_matrix& m) {
  at::Tensor result =
      at::empty({static_cast<std::int64_t>(m.rows), static_cast<std::int64_t>(m.columns)}, at::kDouble);
  const auto entry = [&]<class T>(const T* data, std::ptrdiff_t at) {
    return static_cast<double>(static_cast<float>(data[at]));
  };
  for (std::size_t i = 0; i < m.rows; ++i)
    for (std::size_t j = 0; j < m.columns; ++j) {
      const std::ptrdiff_t at =
          static_cast<std::ptrdiff_t>(i) * m.row_stride + static_cast<std::ptrdiff_t>(j) * m.column_stride;
      double value = 0;
      if (m.type == element_type::float64) value = static_cast<const double*>(m.data)[at];
      if (m.type == element_type::float32) value = static_cast<double>(static_cast<const float*>(m.data)[at]);
      if (m.type == element_type::bfloat16) value = entry(static_cast<const bfloat16*>(m.data), at);
      if (m.type == element_type::float16) value = entry(static_cast<const float16*>(m.data), at);
      result.data_ptr<double>()[i * m.columns + j] = value;
    }
  return result;
}
void check_seen(const at::Tensor& x) {
  const distill::detail::input_matrix view = torch_matrix(x);
  CHECK(view.data == x.data_ptr());
  CHECK(at::equal(seen(view), x.to(at::kDouble)));
}

}  // namespace

TEST_CASE("a matrix is seen as it is, in every layout and element type") {
  for (const at::ScalarType type : every_type) {
    const at::Tensor x = at::randn({7, 9}, at::kDouble).to(type);
    check_seen(x);
    check_seen(x.t());
    check_seen(x.slice(0, 1, 6, 2).slice(1, 3));
    check_seen(x.narrow(0, 4, 1).expand({5, 9}));
    check_seen(x.select(1, 2).unsqueeze(1));
    check_seen(x.diagonal().unsqueeze(0));
    for (const layout how : every_layout) check_seen(laid_out(x, how));
  }
  check_seen(at::empty({0, 5}));
}

TEST_CASE("a tensor of rank 3 or 4 is seen as it is") {
  const at::Tensor x = at::randn({2, 3, 4, 5}, at::kFloat).permute({1, 0, 3, 2});
  const distill::detail::input_tensor view = torch_tensor(x);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(view.extents[i] == static_cast<std::size_t>(x.size(static_cast<std::int64_t>(i))));
    CHECK(view.strides[i] == x.stride(static_cast<std::int64_t>(i)));
  }
  CHECK(at::equal(seen(view.matrix(2, 1)), x.select(0, 2).select(0, 1).to(at::kDouble)));
  const at::Tensor flat = x.select(0, 1);
  const distill::detail::input_tensor heads = torch_tensor(flat), positions = torch_tensor<2>(flat);
  CHECK(heads.extents == std::array<std::size_t, 4>{2, 1, 5, 4});
  CHECK(positions.extents == std::array<std::size_t, 4>{2, 5, 1, 4});
  CHECK(at::equal(seen(heads.matrix(1, 0)), flat.select(0, 1).to(at::kDouble)));
}

TEST_CASE("a const tensor is read only, and the gradient goes where it is told") {
  const at::Tensor student = at::randn({3, 5}), target = at::randn({3, 5});
  at::Tensor gradient = at::zeros({5, 3}).t();
  static_assert(std::is_same_v<decltype(torch_matrix(student)), distill::detail::input_matrix>);
  static_assert(std::is_same_v<decltype(torch_matrix(gradient)), distill::detail::output_matrix>);
  forward_kl{}(torch_matrix(student), torch_matrix(target), torch_matrix(gradient));
  const at::Tensor expected = (at::softmax(student, 1) - at::softmax(target, 1)) / 3;
  CHECK(difference(gradient, expected) < 1e-5);
}

TEST_CASE("vectors, labels and masks") {
  const at::Tensor weights = at::arange(8, at::kFloat);
  const at::Tensor odd = weights.slice(0, 1, 8, 2);
  const vector_view<const float> view = torch_vector<float>(odd);
  REQUIRE(view.size() == 4);
  CHECK(view[3] == 7);
  at::Tensor values = at::zeros({3}, at::kDouble);
  const vector_view<double> writable = torch_vector<double>(values);
  writable[2] = 4;
  CHECK(values[2].item<double>() == 4);
  for (const at::ScalarType type : {at::kLong, at::kInt, at::kByte}) {
    const at::Tensor numbers = at::arange(10, type).slice(0, 2, 10, 3);
    const label_view labels = torch_labels(numbers);
    REQUIRE(labels.size() == 3);
    CHECK(labels[2] == 8);
  }
  for (const at::ScalarType type : {at::kBool, at::kByte, at::kChar, at::kInt, at::kLong, at::kFloat}) {
    const at::Tensor mask = at::arange(6, at::kLong).remainder(3).reshape({3, 2}).to(type).t();
    const mask_view seen_mask = torch_mask(mask);
    for (std::size_t i = 0; i < 2; ++i)
      for (std::size_t j = 0; j < 3; ++j) CHECK(seen_mask(i, j) == ((2 * j + i) % 3 != 0));
  }
}

TEST_CASE("what is no plain memory of the right kind is refused with a sentence") {
  const auto message = [](const at::Tensor& x) -> std::string {
    try {
      torch_matrix(x);
    } catch (const layout_error& error) {
      return error.what();
    } catch (const shape_error& error) {
      return std::string("shape: ") + error.what();
    }
    return "nothing";
  };
  CHECK(message(at::Tensor()) == "torch_matrix: tensor is an undefined tensor");
  CHECK(message(at::empty({2, 2}, at::TensorOptions().device(at::kMeta))) ==
        "torch_matrix: tensor is on the device meta, needs cpu");
  CHECK(message(at::zeros({2, 2}, at::kInt)) ==
        "torch_matrix: tensor is of Int, needs Float, Double, BFloat16 or Half");
  CHECK(message(at::zeros({2, 2}, at::kComplexFloat)).find("ComplexFloat") != std::string::npos);
  CHECK(message(at::eye(2).to_sparse()) ==
        "torch_matrix: tensor is sparse, quantized or without memory of its own, needs a strided tensor");
  CHECK(message(at::imag(at::zeros({2, 2}, at::kComplexFloat).conj())) ==
        "torch_matrix: tensor is negated lazily, so its memory holds other numbers; call resolve_neg()");
  CHECK(message(at::zeros({3})) == "shape: torch_matrix: tensor has 1 dimensions, needs 2");
  CHECK(message(at::zeros({2, 2, 2})) ==
        "shape: torch_matrix: tensor has 3 dimensions, needs 2; flatten(0, 1) makes rows of [batch, "
        "sequence, classes]");
  const at::Tensor matrix = at::zeros({2, 2}), numbers = at::zeros({2}, at::kDouble);
  CHECK_THROWS_WITH(torch_tensor(matrix),
                    "torch_tensor: tensor has 2 dimensions, needs 4, or 3 where one is left out");
  CHECK_THROWS_WITH(torch_vector<float>(matrix), "torch_vector: tensor has 2 dimensions, needs 1");
  CHECK_THROWS_WITH(torch_vector<float>(numbers), "torch_vector: tensor is of Double, needs Float");
  CHECK_THROWS_WITH(torch_labels(numbers), "torch_labels: tensor is of Double, needs Long, Int or Byte");
  CHECK_THROWS_WITH(torch_mask(numbers), "torch_mask: tensor has 1 dimensions, needs 2");
  const at::Tensor wide = at::zeros({2, 2}, at::kDouble);
  CHECK_THROWS_WITH(torch_mask(wide),
                    "torch_mask: tensor is of Double, needs Bool, Byte, Char, Int, Long or Float");
}
