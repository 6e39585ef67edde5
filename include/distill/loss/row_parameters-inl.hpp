// The own parameters of the losses that transform a row, by the names they have there, with their ranges.
#pragma once

#include <cmath>
#include <distill/loss/loss_term.hpp>

namespace distill::inline DISTILL_ABI::detail {

// Calls f(name, value, whether it is in its range, the range).
template <class F>
void for_each_row_parameter(const loss_term& term, F f) {
  const double x = term.alpha;
  switch (term.kind) {
    case loss_kind::decoupled_kl:
      f("alpha", x, std::isfinite(x) && x >= 0, "finite and >= 0");
      return f("beta", term.beta, std::isfinite(term.beta) && term.beta >= 0, "finite and >= 0");
    case loss_kind::standardized_kl:
      return f("epsilon", x, std::isfinite(x) && x > 0, "finite and > 0");
    case loss_kind::adaptive_kl:
      return f("head_mass", x, x > 0 && x < 1, "in (0, 1)");
    case loss_kind::taid_kl:
      return f("interpolation", x, x >= 0 && x <= 1, "in [0, 1]");
    case loss_kind::corrected_kl:
      return f("threshold", x, x >= 0 && x < 1, "in [0, 1)");
    default:
      return;
  }
}

}  // namespace distill::inline DISTILL_ABI::detail
