// Fails with: this argument is a temporary that owns its elements; give it a name first
#include <Eigen/Core>
#include <distill/loss/forward_kl.hpp>

Eigen::MatrixXf logits();

double value(const Eigen::MatrixXf& student) {
#if defined(MUST_FAIL)
  return distill::forward_kl{}(student, logits());
#else
  const Eigen::MatrixXf teacher = logits();
  return distill::forward_kl{}(student, teacher.topRows(2));  // a view of something named may be a temporary
#endif
}
