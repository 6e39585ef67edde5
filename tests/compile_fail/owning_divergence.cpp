// Fails with: is_trivially_copyable
#include <distill/loss/divergence.hpp>
#include <string>

struct squared_difference {
#if defined(MUST_FAIL)
  std::string name;
#endif
  template <class T>
  T value(T p, T q) const {
    return (p - q) * (p - q);
  }
  template <class T>
  T slope(T p, T q) const {
    return 2 * (q - p);
  }
};

double value(distill::matrix_view<const float> student, distill::matrix_view<const float> teacher) {
  return distill::divergence<squared_difference>{}(student, teacher);
}
