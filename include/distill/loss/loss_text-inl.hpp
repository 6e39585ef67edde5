// A loss as it would be written: to_string of evaluate.hpp.
#pragma once

#include <distill/error/parameter_text-inl.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/loss/row_parameters-inl.hpp>

namespace distill::inline DISTILL_ABI {

DISTILL_INLINE std::string to_string(const loss_term& term) {
  std::string text = term.coefficient == 1 ? "" : detail::text_of(term.coefficient) + " * ";
  text += term.name;
  text += "{";
  const auto field = [&](const char* key, double value) {
    text += (text.back() == '{' ? "." : ", .") + std::string(key) + " = " + detail::text_of(value);
  };
  const auto temperature = [&](const char* key, bool per_row, double number) {
    if (!per_row) return field(key, number);
    text += (text.back() == '{' ? "." : ", .") + std::string(key) + " = per_row";
  };
  if (term.kind != loss_kind::logit_mse)
    temperature("temperature", term.row_temperatures.has_value(), term.temperature);
  if (term.teacher_temperature != term.temperature || term.row_teacher_temperatures != term.row_temperatures)
    temperature("teacher_temperature", term.row_teacher_temperatures.has_value(), term.teacher_temperature);
  if (term.kind == loss_kind::ranking_hinge) field("margin", term.margin);
  if (term.ranks() && term.largest != 0) field("classes", static_cast<double>(term.largest));
  const bool skewed = term.kind == loss_kind::skewed_forward_kl || term.kind == loss_kind::skewed_reverse_kl;
  if (skewed || term.kind == loss_kind::alpha_beta) field("alpha", term.alpha);
  if (term.kind == loss_kind::alpha_beta || term.kind == loss_kind::jensen_shannon) field("beta", term.beta);
  detail::for_each_row_parameter(
      term, [&](const char* key, double value, bool, const char*) { field(key, value); });
  if (term.kind == loss_kind::cross_entropy) field("label_smoothing", term.label_smoothing);
  if (term.needs_labels()) field("ignore_index", static_cast<double>(term.ignore_index));
  if (!term.temperature_squared && term.needs_teacher() && term.kind != loss_kind::logit_mse && !term.ranks())
    text += ", .temperature_squared = false";
  return text + "}";
}

}  // namespace distill::inline DISTILL_ABI
