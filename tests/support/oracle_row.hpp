// One row of the losses that transform it first. Includes nothing of the library.
#pragma once

#include <cstddef>
#include <vector>

#include "support/oracle.hpp"

namespace oracle {

struct row_answer {
  long double value = 0;
  std::vector<long double> gradient;
};

std::vector<long double> log_softmax(const long double* logits, std::size_t classes, long double temperature);

bool transforms_rows(formula kind);
row_answer transformed_row(const loss& l, const long double* student, const long double* teacher,
                           std::size_t classes, std::size_t label);

/// adaptive_kl's weight of forward KL.
long double head_weight(const loss& l, const long double* student, const long double* teacher,
                        std::size_t classes);
/// taid_kl's target, and corrected_kl's.
std::vector<long double> target_of(const loss& l, const long double* student, const long double* teacher,
                                   std::size_t classes, std::size_t label);

}  // namespace oracle
