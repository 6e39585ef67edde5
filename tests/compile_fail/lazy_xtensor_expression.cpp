// Fails with: evaluate a lazy expression into a matrix first
#include <distill/loss/forward_kl.hpp>
#include <xtensor/xtensor.hpp>

double value(const xt::xtensor<float, 2>& student, const xt::xtensor<float, 2>& teacher) {
#if defined(MUST_FAIL)
  return distill::forward_kl{}(student, teacher * 2.0f);
#else
  const xt::xtensor<float, 2> doubled = teacher * 2.0f;
  return distill::forward_kl{}(student, doubled);
#endif
}
