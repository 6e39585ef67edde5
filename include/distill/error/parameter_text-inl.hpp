// The sentences of parameter errors.
#pragma once

#include <cmath>
#include <distill/error/error.hpp>
#include <string_view>

namespace distill::inline DISTILL_ABI::detail {

inline std::string text_of(double value) {
  std::string text = std::to_string(value);
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  return text == "0" && value != 0 ? std::to_string(value * 1e9) + "e-9" : text;
}

[[noreturn]] inline void throw_parameter(std::string_view name, std::string_view what,
                                         std::string_view expected, const std::string& got) {
  throw parameter_error(std::string(name) + ": " + std::string(what) + " must be " + std::string(expected) +
                        ", got " + got);
}

inline void require_temperature(std::string_view name, std::string_view what, double temperature) {
  if (!(std::isfinite(temperature) && temperature > 0))
    throw_parameter(name, what, "finite and > 0", text_of(temperature));
}

}  // namespace distill::inline DISTILL_ABI::detail
