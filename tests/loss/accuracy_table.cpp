// How far every loss is from the oracle, by number of classes: worst value and gradient deviation over a few
// seeds.
#include <algorithm>
#include <cstdio>

#include "support/accuracy.hpp"
#include "support/random_logits.hpp"

using namespace support;

namespace {

template <class T>
deviation measured(const loss_case& loss, const logit_pair& logits) {
  const guarded_matrix<T> student(logits.rows, logits.student), teacher(logits.rows, logits.teacher);
  guarded_matrix<T> gradient(logits.rows, logits.classes);
  return deviation_of(loss, student, teacher, gradient);
}

}  // namespace

int main() {
  struct column {
    std::size_t rows, classes;
  };
  for (const bool near_equal : {false, true}) {
    std::printf("%s\n", near_equal ? "near-equal" : "independent");
    const column columns[] = {{37, 2}, {37, 10}, {37, 32}, {37, 128}, {37, 1000}, {2, 50257}, {1, 128256}};
    for (std::size_t i = 0; i < all_cases(1, 10).size(); ++i) {
      std::printf("%-110s\n   ", all_cases(1, 10)[i].name.c_str());
      for (const auto& [rows, classes] : columns) {
        const loss_case loss = all_cases(rows, classes)[i];
        deviation worst;
        for (std::size_t seed = 0; seed < (classes < 5000 ? 10u : 1u); ++seed) {
          const auto logits =
              near_equal ? near_equal_logits(rows, classes, seed) : independent_logits(rows, classes, seed);
          const deviation one = measured<float>(loss, logits);
          worst = {std::max(worst.value, one.value), std::max(worst.gradient, one.gradient)};
        }
        std::printf(" %zu: %.0e %.0e |", classes, worst.value, worst.gradient);
      }
      const deviation in_double = measured<double>(
          all_cases(37, 100)[i], near_equal ? near_equal_logits(37, 100, 1) : independent_logits(37, 100, 1));
      std::printf(" double: %.0e %.0e\n", in_double.value, in_double.gradient);
    }
  }
}
