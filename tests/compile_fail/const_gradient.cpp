// Fails with: the output or gradient must be writable, and this one is const
#include <distill/loss/forward_kl.hpp>

double value(distill::matrix_view<const float> student, distill::matrix_view<const float> teacher,
             distill::matrix_view<float> gradient) {
#if defined(MUST_FAIL)
  return distill::forward_kl{}(student, teacher, distill::matrix_view<const float>(gradient));
#else
  return distill::forward_kl{}(student, teacher, gradient);
#endif
}
