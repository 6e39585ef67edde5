#pragma once

#include <distill/alignment/attention_transfer.hpp>
#include <distill/alignment/relation.hpp>
#include <distill/alignment/relational_options.hpp>
#include <distill/interop/torch_executor.hpp>
#include <distill/interop/torch_gradient.hpp>
#include <distill/interop/torch_memory.hpp>
#include <distill/interop/torch_view.hpp>

namespace distill::inline DISTILL_ABI {

/// What attention scores are made of, as tensors of one type and of rank 4, or 3 with one head; the scale is
/// 1 / sqrt(width) unless given. See queries_keys.
struct torch_queries_keys {
  at::Tensor queries, keys;
  std::optional<double> scale = std::nullopt;
};

namespace detail {

/// Losses on rows: those on logits, objectives, divergences, hidden states.
template <class L>
concept row_loss =
    !std::same_as<L, attention_transfer> &&
    requires(const L& loss, const input_matrix& in, const output_matrix& out, const row_options& rows) {
  { loss(in, in, out, rows) } -> std::same_as<double>;
};
/// Losses on the relations between the rows of a batch.
template <class L>
concept batch_loss = requires(const L& loss, const input_matrix& in, const output_matrix& out,
                              const relational_options& options) {
  { loss(in, in, out, options) } -> std::same_as<double>;
};
/// attention_kl and attention_mse.
template <class L>
concept map_loss =
    !std::same_as<L, relation> && requires(const L& loss, const input_tensor& in, const output_tensor& out,
                                           const attention_options& options) {
  { loss(in, in, out, options) } -> std::same_as<double>;
};

inline named_tensor torch_argument(const at::Tensor& tensor, const char* name) {
  return {tensor, "torch_loss", name};
}

inline input_matrix teacher_matrix(const at::Tensor& teacher) {
  return teacher.defined() ? input_matrix(matrix_of(torch_argument(teacher, "teacher"))) : input_matrix();
}

/// Where reduction::none puts its rows is decided here, and a new gradient has nothing to add to.
template <class Options>
void refuse_outputs(const Options& options) {
  if (options.accumulate) throw parameter_error("torch_loss: autograd accumulates; accumulate must be false");
  if constexpr (requires { options.row_values; })
    if (options.reduction == reduction::none && !options.row_values.empty())
      throw parameter_error(
          "torch_loss: with reduction::none the row values are the result; row_values must be empty");
}

/// libtorch's threads and the kept scratch, unless the caller chose.
template <class Options>
Options torch_options(Options options, torch_memory* memory) {
  options.executor = torch_executor_or(options.executor);
  if (options.workspace == nullptr && memory != nullptr) options.workspace = &memory->scratch();
  return options;
}
template <class Options>
Options torch_options(const Options& given, torch_memory* memory, const at::Tensor& row_values) {
  Options options = torch_options(given, memory);
  if (row_values.defined())
    options.row_values = {row_values.data_ptr<double>(), static_cast<std::size_t>(row_values.numel())};
  return options;
}

inline std::vector<std::int64_t> shape_of_rows(reduction how, at::IntArrayRef rows) {
  return how == reduction::none ? rows.vec() : std::vector<std::int64_t>();
}

/// Calls f with the typed tensor that `x` is.
template <class F>
auto with_typed_tensor(const named_tensor& x, F f) {
  const output_tensor t = tensor_of(x, 1);
  const auto call = [&]<class T>(T* data) { return f(tensor_view<T>(data, t.extents, t.strides)); };
  switch (t.type) {
    case element_type::float64:
      return call(static_cast<double*>(t.data));
    case element_type::bfloat16:
      return call(static_cast<bfloat16*>(t.data));
    case element_type::float16:
      return call(static_cast<float16*>(t.data));
    default:
      return call(static_cast<float*>(t.data));
  }
}

/// The tensor of rank 4 that `x` is, of type T: that of the queries it belongs to.
template <class T>
tensor_view<T> keys_like(const named_tensor& x, const at::Tensor& queries) {
  const output_tensor t = tensor_of(x, 1);
  if (x.tensor.scalar_type() != queries.scalar_type())
    throw_scalar_type(x, c10::toString(queries.scalar_type()));
  return {static_cast<T*>(t.data), t.extents, t.strides};
}

inline attention_options product_options(const attention_options& given, torch_memory* memory) {
  if (given.reduction == reduction::none)
    throw parameter_error(
        "torch_loss: reduction::none is for maps; from products a row has no gradient of its own");
  attention_options options = torch_options(given, memory);
  if (!options.product) options.product = matrix_product_ref(product_of_torch);
  return options;
}

}  // namespace detail

/// A loss on tensors, differentiable by libtorch: `torch_loss(forward_kl{.temperature = 4}, student,
/// teacher)`.
///
/// The result: a tensor of rank 0 with the loss's value; with reduction::none of shape [rows]. Double if the
/// student is Double, otherwise Float. Where the student requires grad and grad mode is on, the gradient is
/// computed in the same call and handed back by backward(), times the upstream gradient: without a copy if
/// that is 1, in place unless the graph is retained. No gradient flows to the teacher, as if it were
/// detached. Shapes: student and teacher [rows, classes] of any strides on the CPU, of Float, Double,
/// BFloat16 or Half, each its own; an undefined teacher is no_teacher. Objectives, divergences and losses on
/// hidden states likewise. Options: row_options; rows run on libtorch's threads (torch_executor) unless an
/// executor is given. Not `accumulate`; with reduction::none not `row_values`. Throws: what the loss throws;
/// layout_error and shape_error of torch_matrix. backward() throws libtorch's error for a graph that was
/// freed, parameter_error with create_graph. Memory: one gradient in the student's shape and type (Float for
/// Half, whose range a loss scale would come too late for), handed to the student's .grad without a copy, and
/// new in every call unless `memory` keeps it between steps (torch_memory); nothing of teacher or student is
/// kept, so either may be modified in place before backward().
template <detail::row_loss L>
at::Tensor torch_loss(const L& loss, const at::Tensor& student, const at::Tensor& teacher = {},
                      const row_options& rows = {}, torch_memory* memory = nullptr) {
  detail::refuse_outputs(rows);
  const detail::input_matrix from = detail::matrix_of(detail::torch_argument(student, "student"));
  const detail::input_matrix to = detail::teacher_matrix(teacher);
  return detail::differentiable({student}, detail::shape_of_rows(rows.reduction, student.sizes().slice(0, 1)),
                                memory, [&](const auto& gradients, const at::Tensor& values) {
                                  detail::output_matrix slope;
                                  if (!gradients.empty())
                                    slope =
                                        detail::matrix_of(detail::torch_argument(gradients[0], "gradient"));
                                  return loss(from, to, slope, detail::torch_options(rows, memory, values));
                                });
}

/// Attention transfer: student [batch, channels, height, width] or [batch, channels, positions], the teacher
/// with channels of its own. A row is a sample.
template <std::same_as<attention_transfer> L>
at::Tensor torch_loss(const L& loss, const at::Tensor& student, const at::Tensor& teacher,
                      const row_options& rows = {}, torch_memory* memory = nullptr) {
  detail::refuse_outputs(rows);
  const detail::input_tensor from = detail::tensor_of(detail::torch_argument(student, "student"), 2);
  const detail::input_tensor to = detail::tensor_of(detail::torch_argument(teacher, "teacher"), 2);
  return detail::differentiable(
      {student}, detail::shape_of_rows(rows.reduction, student.sizes().slice(0, 1)), memory,
      [&](const auto& gradients, const at::Tensor& values) {
        const auto options = detail::torch_options(rows, memory, values);
        if (gradients.empty()) return loss(from, to, no_gradient, options);
        return loss(from, to, detail::tensor_of(detail::torch_argument(gradients[0], "gradient"), 2),
                    options);
      });
}

/// Attention maps: student and teacher [batch, heads, queries, keys], or of rank 3 with one head. With
/// reduction::none the result has the student's shape without the keys.
template <detail::map_loss L>
at::Tensor torch_loss(const L& loss, const at::Tensor& student, const at::Tensor& teacher,
                      const attention_options& options = {}, torch_memory* memory = nullptr) {
  detail::refuse_outputs(options);
  const detail::input_tensor from = detail::tensor_of(detail::torch_argument(student, "student"), 1);
  const detail::input_tensor to = detail::tensor_of(detail::torch_argument(teacher, "teacher"), 1);
  return detail::differentiable(
      {student}, detail::shape_of_rows(options.reduction, student.sizes().slice(0, student.dim() - 1)),
      memory, [&](const auto& gradients, const at::Tensor& values) {
        detail::output_tensor slope;
        if (!gradients.empty())
          slope = detail::tensor_of(detail::torch_argument(gradients[0], "gradient"), 1);
        return loss(from, to, slope, detail::torch_options(options, memory, values));
      });
}

/// Attention from queries and keys, with gradients to the student's; libtorch multiplies unless
/// options.product is given. Not reduction::none.
template <detail::map_loss L>
at::Tensor torch_loss(const L& loss, const torch_queries_keys& student, const torch_queries_keys& teacher,
                      const attention_options& options = {}, torch_memory* memory = nullptr) {
  detail::refuse_outputs(options);
  const attention_options all = detail::product_options(options, memory);
  const auto view = [](const torch_queries_keys& x, const char* queries, const char* keys, auto f) {
    return detail::with_typed_tensor(
        detail::torch_argument(x.queries, queries), [&]<class T>(tensor_view<T> q) {
          return f(queries_keys<T>(q, detail::keys_like<T>(detail::torch_argument(x.keys, keys), x.queries),
                                   x.scale));
        });
  };
  return detail::differentiable(
      {student.queries, student.keys}, {}, memory, [&](const auto& gradients, const at::Tensor&) {
        return view(student, "student.queries", "student.keys", [&](const auto& from) {
          return view(teacher, "teacher.queries", "teacher.keys", [&](const auto& to) {
            if (gradients.empty()) return loss(from, to, no_gradient, all);
            return view({gradients[0], gradients[1]}, "gradient", "gradient",
                        [&](const auto& slopes) { return loss(from, to, slopes, all); });
          });
        });
      });
}

/// Self-relations: student and teacher [batch, heads, positions, width] or [batch, positions, width];
/// libtorch multiplies unless options.product is given. Not reduction::none.
template <std::same_as<relation> L>
at::Tensor torch_loss(const L& loss, const at::Tensor& student, const at::Tensor& teacher,
                      const attention_options& options = {}, torch_memory* memory = nullptr) {
  detail::refuse_outputs(options);
  const attention_options all = detail::product_options(options, memory);
  return detail::differentiable({student}, {}, memory, [&](const auto& gradients, const at::Tensor&) {
    return detail::with_typed_tensor(detail::torch_argument(student, "student"), [&](auto from) {
      return detail::with_typed_tensor(detail::torch_argument(teacher, "teacher"), [&](auto to) {
        detail::output_tensor slope;
        if (!gradients.empty())
          slope = detail::tensor_of(detail::torch_argument(gradients[0], "gradient"), 1);
        return loss(from, to, slope, all);
      });
    });
  });
}

/// Losses on the relations between rows: student [rows, width], teacher [rows, any width]. libtorch
/// multiplies unless options are given: `{.product = torch_product{}, ...}`.
template <detail::batch_loss L>
at::Tensor torch_loss(const L& loss, const at::Tensor& student, const at::Tensor& teacher,
                      const relational_options& options = {.product = detail::product_of_torch},
                      torch_memory* memory = nullptr) {
  detail::refuse_outputs(options);
  const detail::input_matrix from = detail::matrix_of(detail::torch_argument(student, "student"));
  const detail::input_matrix to = detail::matrix_of(detail::torch_argument(teacher, "teacher"));
  return detail::differentiable({student}, {}, memory, [&](const auto& gradients, const at::Tensor&) {
    const relational_options all = detail::torch_options(options, memory);
    detail::output_matrix slope;
    if (!gradients.empty()) slope = detail::matrix_of(detail::torch_argument(gradients[0], "gradient"));
    return loss(from, to, slope, all);
  });
}

}  // namespace distill::inline DISTILL_ABI
