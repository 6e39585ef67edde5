// The checks before an attention loss is evaluated from products.
#pragma once

#include <distill/alignment/attention_frame-inl.hpp>
#include <tuple>

namespace distill::inline DISTILL_ABI::detail {

inline constexpr std::array<const char*, 4> query_units = {"samples", "heads", "queries", "columns"};
inline constexpr std::array<const char*, 4> key_units = {"samples", "heads", "keys", "columns"};

inline void check_projection(const char* name, const std::string& what, const input_tensor& x) {
  require_tensor_memory(name, what, x);
  if (size_of(x.type) == 2)
    throw layout_error(std::string(name) + ": " + what + " are " + name_of(x.type) +
                       ", must be float32 or float64");
  if (x.strides[3] != 1 && x.strides[2] != 1 && x.extents[2] > 1 && x.extents[3] > 1)
    throw layout_error(std::string(name) + ": " + what + " have strides " + std::to_string(x.strides[2]) +
                       " and " + std::to_string(x.strides[3]) + " in their last dimensions, one must be 1");
}

inline void check_projections(const char* name, const std::string& model, const projections& x) {
  const std::string queries = model + "'s " + x.query_name, keys = model + "'s " + x.key_name;
  require_positive(name, queries, x.queries.extents, query_units);
  require_positive(name, keys, x.keys.extents, key_units);
  require_extents(name, keys, x.keys.extents, queries, x.queries.extents,
                  {"samples", nullptr, nullptr, nullptr});
  check_projection(name, queries, x.queries);
  check_projection(name, keys, x.keys);
  for (const auto& [tensor, heads, what] :
       {std::tuple{&x.queries, x.query_heads, &queries}, std::tuple{&x.keys, x.key_heads, &keys}})
    if (tensor->extents[1] * tensor->extents[3] % heads != 0)
      throw shape_error(std::string(name) + ": " + *what + " have " +
                        std::to_string(tensor->extents[1] * tensor->extents[3]) +
                        " columns in all, which do not divide into " + std::to_string(heads) + " heads");
  const std::size_t query_width = x.queries.extents[1] * x.queries.extents[3] / x.query_heads;
  const std::size_t key_width = x.keys.extents[1] * x.keys.extents[3] / x.key_heads;
  if (query_width != key_width)
    throw shape_error(std::string(name) + ": " + keys + " have heads of " + std::to_string(key_width) +
                      " columns, " + queries + " of " + std::to_string(query_width));
  if (x.query_heads % x.key_heads != 0)
    throw shape_error(std::string(name) + ": " + keys + " have " + std::to_string(x.key_heads) +
                      " heads, which do not divide the " + std::to_string(x.query_heads) + " of " + queries);
  if (!std::isfinite(x.scale)) throw_parameter(name, model + "'s scale", "finite", text_of(x.scale));
}

inline void check_projection_gradients(const char* name, const projections& student,
                                       const projections& teacher, const projection_gradients& gradient,
                                       const attention_options& options) {
  const bool is_one =
      gradient.queries.data == gradient.keys.data && student.queries.data == student.keys.data;
  const auto check = [&](const output_tensor& x, const input_tensor& of, const char* of_name,
                         const auto& units) {
    const std::string what = std::string("gradient of ") + of_name;
    require_extents(name, what, x.extents, std::string("student's ") + of_name, of.extents, units);
    require_tensor_memory(name, what, x);
    if (x.type != of.type)
      throw layout_error(std::string(name) + ": " + what + " is " + name_of(x.type) + ", student is " +
                         name_of(of.type));
    check_projection(name, what, as_input(x));
    require_distinct_elements(name, what, x);
    require_no_overlap(name, std::string("student's ") + student.query_name, student.queries, what, x);
    require_no_overlap(name, std::string("student's ") + student.key_name, student.keys, what, x);
    require_no_overlap(name, std::string("teacher's ") + teacher.query_name, teacher.queries, what, x);
    require_no_overlap(name, std::string("teacher's ") + teacher.key_name, teacher.keys, what, x);
    check_beside_gradient(name, options, what.c_str(), x);
  };
  check(gradient.queries, student.queries, student.query_name, query_units);
  if (is_one) return;
  check(gradient.keys, student.keys, student.key_name, key_units);
  require_no_overlap(name, std::string("gradient of ") + student.key_name, as_input(gradient.keys),
                     std::string("gradient of ") + student.query_name, gradient.queries);
}

inline void check_attention_products(const attention_loss& loss, const projections& student,
                                     const projections& teacher, const projection_gradients& gradient,
                                     const attention_frame& frame) {
  check_projections(loss.name, "student", student);
  check_projections(loss.name, "teacher", teacher);
  const std::string reference = std::string("student's ") + student.query_name;
  require_extents(loss.name, std::string("teacher's ") + teacher.query_name, teacher.queries.extents,
                  reference, student.queries.extents, {"samples", nullptr, "queries", nullptr});
  require_extents(loss.name, std::string("teacher's ") + teacher.key_name, teacher.keys.extents,
                  std::string("student's ") + student.key_name, student.keys.extents,
                  {"samples", nullptr, "keys", nullptr});
  loss.heads->require(loss.name, student.query_heads, teacher.query_heads);
  check_attention_options(loss.name, frame);
  if (!frame.options->product)
    throw parameter_error(std::string(loss.name) +
                          ": options.product is not given, and queries and keys need products");
  if (!gradient.queries.is_absent() || !gradient.keys.is_absent())
    check_projection_gradients(loss.name, student, teacher, gradient, *frame.options);
}

}  // namespace distill::inline DISTILL_ABI::detail
