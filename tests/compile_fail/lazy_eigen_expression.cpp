// Fails with: evaluate a lazy expression into a matrix first
#include <Eigen/Core>
#include <distill/loss/forward_kl.hpp>

double value(const Eigen::MatrixXf& student, const Eigen::MatrixXf& teacher) {
#if defined(MUST_FAIL)
  return distill::forward_kl{}(student, teacher + student);
#else
  const Eigen::MatrixXf sum = teacher + student;
  return distill::forward_kl{}(student, sum);
#endif
}
