// Views of DLPack's tensors: what they show, what is refused. No dlpack.h is needed; these structs follow its
// layout.
#include <catch2/catch.hpp>
#include <cstdint>
#include <distill/alignment/attention_mse.hpp>
#include <distill/interop/dlpack.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/forward_kl.hpp>
#include <vector>

using namespace distill;

namespace {

enum kind_of_device { cpu = 1, cuda = 2, pinned = 3 };
struct dl_device {
  kind_of_device device_type;
  std::int32_t device_id;
};
struct dl_type {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};
struct plain_tensor {
  void* data;
  dl_device device;
  std::int32_t ndim;
  dl_type dtype;
  std::int64_t* shape;
  std::int64_t* strides;
  std::uint64_t byte_offset;
};
struct dl_managed_versioned {
  std::uint64_t flags;
  plain_tensor dl_tensor;
};

constexpr dl_type of_float = {2, 32, 1}, of_double = {2, 64, 1};

/// A tensor over memory, with shape and strides of its own.
struct owner {
  std::vector<std::int64_t> shape, strides;
  plain_tensor tensor;

  owner(void* data, std::vector<std::int64_t> extents, dl_type type, std::vector<std::int64_t> steps = {},
        std::uint64_t offset = 0)
      : shape(std::move(extents)),
        strides(std::move(steps)),
        tensor{data,  {cpu, 0},     static_cast<std::int32_t>(shape.size()),
               type,  shape.data(), strides.empty() ? nullptr : strides.data(),
               offset} {}
};

std::vector<float> numbers(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>((i * 37) % 11) - 5;
  return values;
}

}  // namespace

TEST_CASE("a tensor without strides is compact, whatever its offset") {
  std::vector<float> memory = numbers(30), teacher = numbers(20), gradient(20), expected(20);
  const owner student(memory.data(), {4, 5}, of_float, {}, 10 * sizeof(float));
  const owner other(teacher.data(), {4, 5}, of_float), slope(gradient.data(), {4, 5}, of_float);
  const double value = forward_kl{}(dlpack_matrix(student.tensor), dlpack_matrix(other.tensor),
                                    dlpack_output_matrix(slope.tensor));
  CHECK(value == forward_kl{}(matrix_view<const float>(memory.data() + 10, 4, 5),
                              matrix_view<const float>(teacher.data(), 4, 5),
                              matrix_view<float>(expected.data(), 4, 5)));
  CHECK(gradient == expected);
}

TEST_CASE("strides are in elements, negative ones too") {
  std::vector<float> memory = numbers(40);
  const owner transposed(memory.data(), {5, 4}, of_float, {1, 5});
  const detail::input_matrix view = dlpack_matrix(transposed.tensor);
  CHECK((view.row_stride == 1 && view.column_stride == 5 && view.rows == 5 && view.columns == 4));
  const owner backwards(memory.data(), {3, 4}, of_float, {-8, 2}, 24 * sizeof(float));
  CHECK(forward_kl{}(dlpack_matrix(backwards.tensor), dlpack_matrix(backwards.tensor)) == 0);
  CHECK(dlpack_matrix(backwards.tensor).data == memory.data() + 24);
}

TEST_CASE("every element type has its view") {
  std::vector<double> memory(6);
  const auto type_of = [&](dl_type type) {
    return dlpack_matrix(owner(memory.data(), {2, 3}, type).tensor).type;
  };
  CHECK(type_of({2, 32, 1}) == element_type::float32);
  CHECK(type_of({2, 64, 1}) == element_type::float64);
  CHECK(type_of({2, 16, 1}) == element_type::float16);
  CHECK(type_of({4, 16, 1}) == element_type::bfloat16);
}

TEST_CASE("tensors of rank 3 and 4, vectors and labels") {
  std::vector<float> memory = numbers(24), teacher(24), slopes(24);
  const owner maps(memory.data(), {2, 1, 3, 4}, of_float), flat(teacher.data(), {2, 3, 4}, of_float),
      slope(slopes.data(), {2, 3, 4}, of_float);
  const double value = attention_mse{}(dlpack_tensor(maps.tensor), dlpack_tensor(flat.tensor),
                                       dlpack_output_tensor(slope.tensor), {.reduction = reduction::sum});
  double sum = 0;
  for (const float x : memory) sum += static_cast<double>(x) * static_cast<double>(x);
  CHECK(value == Approx(sum));
  for (std::size_t i = 0; i < slopes.size(); ++i) CHECK(slopes[i] == 2 * memory[i]);
  const detail::input_tensor positions = dlpack_tensor<2>(flat.tensor);
  CHECK(positions.extents == std::array<std::size_t, 4>{2, 3, 1, 4});
  const vector_view<const float> odd = dlpack_vector(owner(memory.data(), {12}, of_float, {2}).tensor);
  CHECK((odd.size() == 12 && odd[3] == memory[6]));
  std::int64_t wide[] = {3, 0, 2};
  std::int32_t narrow[] = {3, 0, 2};
  std::uint8_t bytes[] = {3, 0, 2};
  CHECK(dlpack_labels(owner(wide, {3}, {0, 64, 1}).tensor)[2] == 2);
  CHECK(dlpack_labels(owner(narrow, {3}, {0, 32, 1}).tensor)[0] == 3);
  CHECK(dlpack_labels(owner(bytes, {3}, {1, 8, 1}).tensor)[0] == 3);
}

TEST_CASE("a managed tensor may be read only") {
  std::vector<float> memory = numbers(6);
  const owner plain(memory.data(), {2, 3}, of_float);
  const dl_managed_versioned writable{0, plain.tensor}, fixed{1, plain.tensor}, copied{2, plain.tensor};
  CHECK(dlpack_output_matrix(writable).data == memory.data());
  CHECK(dlpack_output_matrix(copied).data == memory.data());
  CHECK(dlpack_matrix(fixed).data == memory.data());
  CHECK_THROWS_WITH(dlpack_output_matrix(fixed), "dlpack_output_matrix: the tensor is read only");
  CHECK_THROWS_WITH(dlpack_output_tensor(fixed), "dlpack_output_tensor: the tensor is read only");
}

TEST_CASE("what is no memory of the right kind is refused with a sentence") {
  std::vector<float> memory = numbers(12);
  owner x(memory.data(), {2, 3}, of_float);
  const auto with = [&](auto change) {
    owner changed(memory.data(), {2, 3}, of_float);
    change(changed.tensor);
    return dlpack_matrix(changed.tensor);
  };
  CHECK_THROWS_WITH(with([](plain_tensor& t) { t.device.device_type = cuda; }),
                    "dlpack_matrix: the tensor is on the device type 2, needs 1 (CPU), or 3 or 11 (pinned)");
  CHECK_NOTHROW(with([](plain_tensor& t) { t.device.device_type = pinned; }));
  CHECK_THROWS_WITH(with([](plain_tensor& t) { t.dtype.lanes = 4; }),
                    "dlpack_matrix: the tensor has elements of 4 lanes, needs 1");
  CHECK_THROWS_WITH(with([](plain_tensor& t) {
                      t.dtype = {0, 32, 1};
                    }),
                    "dlpack_matrix: the tensor is of int32, needs float16, float32, float64 or bfloat16");
  CHECK_THROWS_WITH(with([](plain_tensor& t) {
                      t.dtype = {2, 8, 1};
                    }),
                    "dlpack_matrix: the tensor is of float8, needs float16, float32, float64 or bfloat16");
  CHECK_THROWS_WITH(with([](plain_tensor& t) { t.ndim = 1; }),
                    "dlpack_matrix: the tensor has 1 dimensions, needs 2");
  CHECK_THROWS_WITH(with([](plain_tensor& t) { t.shape = nullptr; }),
                    "dlpack_matrix: the tensor has no shape");
  CHECK_THROWS_WITH(with([](plain_tensor& t) { t.shape[1] = -3; }),
                    "dlpack_matrix: the tensor has the extent -3");
  CHECK_THROWS_WITH(dlpack_tensor(x.tensor),
                    "dlpack_tensor: the tensor has 2 dimensions, needs 4, or 3 where one is left out");
  CHECK_THROWS_WITH(dlpack_vector(owner(memory.data(), {3}, of_double).tensor),
                    "dlpack_vector: the tensor is of float64, needs float32");
  CHECK_THROWS_WITH(dlpack_labels(owner(memory.data(), {3}, of_float).tensor),
                    "dlpack_labels: the tensor is of float32, needs int64, int32 or uint8");
  const owner odd(memory.data(), {2, 3}, of_float, {}, 2);
  CHECK_THROWS_AS(forward_kl{}(dlpack_matrix(odd.tensor), dlpack_matrix(x.tensor)), layout_error);
}
