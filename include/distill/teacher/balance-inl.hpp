// Definitions of balance.hpp. Compiled once in src/, or included by it in header-only mode.
#pragma once

#include <algorithm>
#include <cmath>
#include <distill/error/parameter_text-inl.hpp>
#include <distill/teacher/balance.hpp>
#include <limits>

namespace distill::inline DISTILL_ABI {

namespace detail {

inline void require_positive(const char* name, const char* what, double value) {
  if (!(std::isfinite(value) && value > 0)) throw_parameter(name, what, "finite and > 0", text_of(value));
}

inline void check_gradient_balance(const gradient_balance& balance) {
  constexpr const char* name = "gradient_balance";
  if (!(balance.momentum >= 0 && balance.momentum < 1))
    throw_parameter(name, "momentum", "in [0, 1)", text_of(balance.momentum));
  if (!(std::isfinite(balance.alpha) && balance.alpha >= 0))
    throw_parameter(name, "alpha", "finite and >= 0", text_of(balance.alpha));
  require_positive(name, "most", balance.most);
}

inline void check_state(const gradient_balance_state& state) {
  state.check_together([](std::string_view what, std::string_view expected, double got) {
    throw_parameter("gradient_balance", "state." + std::string(what), expected, text_of(got));
  });
}

// False if a value is not finite; a negative one throws.
inline bool are_usable(const char* what, std::span<const double> values) {
  bool usable = true;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] < 0)
      throw_parameter("gradient_balance", std::string(what) + "[" + std::to_string(i) + "]", ">= 0",
                      text_of(values[i]));
    usable = usable && std::isfinite(values[i]);
  }
  return usable;
}

inline void check_terms(const gradient_balance& balance, const gradient_balance_state& state,
                        std::span<const double> norms, std::span<const double> losses) {
  const std::string name = "gradient_balance: ", count = std::to_string(norms.size());
  if (norms.empty()) throw shape_error(name + "norms has 0 entries");
  if (norms.size() > gradient_balance_state::capacity)
    throw shape_error(name + "norms has " + count + " entries, at most " +
                      std::to_string(gradient_balance_state::capacity) + " are possible");
  if (state.terms != 0 && state.terms != norms.size())
    throw shape_error(name + "norms has " + count + " entries, the state has " + std::to_string(state.terms));
  if (losses.empty() && balance.alpha != 0) throw parameter_error(name + "alpha other than 0 needs losses");
  if (!losses.empty() && losses.size() != norms.size())
    throw shape_error(name + "losses has " + std::to_string(losses.size()) + " entries, norms has " + count);
}

}  // namespace detail

DISTILL_INLINE double value_balance::operator()(double reference, double term) const {
  constexpr const char* name = "value_balance";
  detail::require_positive(name, "share", share);
  detail::require_positive(name, "most", most);
  for (const auto& [value, what] : {std::pair{reference, "reference"}, std::pair{term, "term"}})
    if (!(std::isfinite(value) && value >= 0))
      detail::throw_parameter(name, what, "finite and >= 0", detail::text_of(value));
  if (term == 0) return reference == 0 ? std::min(share, most) : most;
  return std::min(most, share * (reference / term));
}

DISTILL_INLINE gradient_balance_state gradient_balance::advance(gradient_balance_state state,
                                                                std::span<const double> norms,
                                                                std::span<const double> losses) const {
  detail::check_gradient_balance(*this);
  detail::check_state(state);
  detail::check_terms(*this, state, norms, losses);
  const bool norms_usable = detail::are_usable("norms", norms),
             losses_usable = detail::are_usable("losses", losses);
  if (!norms_usable || !losses_usable) return state;
  const bool is_first = state.terms == 0;
  if (is_first && alpha != 0 && std::find(losses.begin(), losses.end(), 0.0) != losses.end()) return state;
  state.terms = norms.size();
  for (std::size_t i = 0; i < norms.size(); ++i) {
    state.norms[i] = momentum * state.norms[i] + (1 - momentum) * norms[i];
    if (losses.empty()) continue;
    if (is_first) state.first_losses[i] = losses[i];
    const double progress = state.first_losses[i] > 0 ? losses[i] / state.first_losses[i] : 1;
    state.progress[i] = std::min(progress, std::numeric_limits<double>::max());
  }
  return state;
}

DISTILL_INLINE void gradient_balance::coefficients(const gradient_balance_state& state,
                                                   std::span<double> written) const {
  detail::check_gradient_balance(*this);
  detail::check_state(state);
  if (state.terms != 0 && written.size() != state.terms)
    throw shape_error("gradient_balance: written has " + std::to_string(written.size()) +
                      " entries, the state has " + std::to_string(state.terms));
  double mean = 0, mean_progress = 0;
  for (std::size_t i = 0; i < state.terms; ++i) {
    mean += state.norms[i] / static_cast<double>(state.terms);
    mean_progress += state.progress[i] / static_cast<double>(state.terms);
  }
  for (std::size_t i = 0; i < written.size(); ++i) {
    if (mean == 0) {
      written[i] = 1;
      continue;
    }
    double target = mean;
    if (alpha != 0 && mean_progress > 0) target *= std::pow(state.progress[i] / mean_progress, alpha);
    written[i] = state.norms[i] == 0 ? most : std::min(most, target / state.norms[i]);
  }
}

}  // namespace distill::inline DISTILL_ABI
