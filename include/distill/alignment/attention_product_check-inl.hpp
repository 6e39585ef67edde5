// The checks before an attention loss is evaluated from products.
#pragma once

#include <distill/alignment/attention_frame-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

inline constexpr std::array<const char*, 4> query_units = {"samples", "heads", "queries", "columns"};
inline constexpr std::array<const char*, 4> key_units = {"samples", "heads", "keys", "columns"};

inline void check_projection(const char* name, const tensor_name& what, const input_tensor& x) {
  require_memory_of(name, what, x);
  if (size_of(x.type) == 2) return;  // copied
  if (x.strides[3] != 1 && x.strides[2] != 1 && x.extents[2] > 1 && x.extents[3] > 1)
    throw layout_error(std::string(name) + ": " + what.text() + " have strides " +
                       std::to_string(x.strides[2]) + " and " + std::to_string(x.strides[3]) +
                       " in their last dimensions, one must be 1");
}

inline void check_projections(const char* name, const char* model, const projections& x) {
  const tensor_name queries{model, x.query_name}, keys{model, x.key_name};
  require_positive(name, queries, x.queries.extents, query_units);
  require_positive(name, keys, x.keys.extents, key_units);
  require_extents(name, keys, x.keys.extents, queries, x.queries.extents,
                  {"samples", nullptr, nullptr, nullptr});
  check_projection(name, queries, x.queries);
  check_projection(name, keys, x.keys);
  const auto width_of = [&](const input_tensor& tensor, std::size_t heads, const tensor_name& what) {
    const std::size_t columns = tensor.extents[1] * tensor.extents[3];
    if (columns % heads != 0)
      throw shape_error(std::string(name) + ": " + what.text() + " have " + std::to_string(columns) +
                        " columns in all, which do not divide into " + std::to_string(heads) + " heads");
    return columns / heads;
  };
  const std::size_t query_width = width_of(x.queries, x.query_heads, queries);
  const std::size_t key_width = width_of(x.keys, x.key_heads, keys);
  if (query_width != key_width)
    throw shape_error(std::string(name) + ": " + keys.text() + " have heads of " + std::to_string(key_width) +
                      " columns, " + queries.text() + " of " + std::to_string(query_width));
  if (x.query_heads % x.key_heads != 0)
    throw shape_error(std::string(name) + ": " + keys.text() + " have " + std::to_string(x.key_heads) +
                      " heads, which do not divide the " + std::to_string(x.query_heads) + " of " +
                      queries.text());
  if (!std::isfinite(x.scale))
    throw_parameter(name, std::string(model) + "scale", "finite", text_of(x.scale));
}

inline void check_projection_gradients(const char* name, const projections& student,
                                       const projections& teacher, const projection_gradients& gradient,
                                       const attention_options& options) {
  const bool is_one =
      gradient.queries.data == gradient.keys.data && student.queries.data == student.keys.data;
  const tensor_name of_queries{"gradient of ", student.query_name}, of_keys{"gradient of ", student.key_name};
  const auto check = [&](const output_tensor& x, const tensor_name& what, const input_tensor& of,
                         const std::array<const char*, 4>& units) {
    require_extents(name, what, x.extents, {"student's ", what.what}, of.extents, units);
    require_memory_of(name, what, x);
    const bool widened = size_of(of.type) == 2 && x.type == element_type::float32;
    if (x.type != of.type && !widened)
      throw layout_error(std::string(name) + ": " + what.text() + " is " + name_of(x.type) + ", student is " +
                         name_of(of.type) + (size_of(of.type) == 2 ? ", needs the same or float32" : ""));
    check_projection(name, what, as_input(x));
    require_apart(name, {"student's ", student.query_name}, student.queries, what, x);
    require_apart(name, {"student's ", student.key_name}, student.keys, what, x);
    require_apart(name, {"teacher's ", teacher.query_name}, teacher.queries, what, x);
    require_apart(name, {"teacher's ", teacher.key_name}, teacher.keys, what, x);
    check_beside_gradient(name, options, what, x);
  };
  check(gradient.queries, of_queries, student.queries, query_units);
  if (is_one) return;
  check(gradient.keys, of_keys, student.keys, key_units);
  require_apart(name, of_keys, as_input(gradient.keys), of_queries, gradient.queries);
}

inline void check_attention_products(const attention_loss& loss, const projections& student,
                                     const projections& teacher, const projection_gradients& gradient,
                                     const attention_frame& frame) {
  check_projections(loss.name(), "student's ", student);
  check_projections(loss.name(), "teacher's ", teacher);
  require_extents(loss.name(), {"teacher's ", teacher.query_name}, teacher.queries.extents,
                  {"student's ", student.query_name}, student.queries.extents,
                  {"samples", nullptr, "queries", nullptr});
  require_extents(loss.name(), {"teacher's ", teacher.key_name}, teacher.keys.extents,
                  {"student's ", student.key_name}, student.keys.extents,
                  {"samples", nullptr, "keys", nullptr});
  loss.heads->require(loss.name(), student.query_heads, teacher.query_heads);
  check_attention_options(loss.name(), frame);
  if (!frame.options->product)
    throw parameter_error(std::string(loss.name()) +
                          ": options.product is not given, and queries and keys need products");
  if (!gradient.queries.is_absent() || !gradient.keys.is_absent())
    check_projection_gradients(loss.name(), student, teacher, gradient, *frame.options);
}

}  // namespace distill::inline DISTILL_ABI::detail
