// Fails with: the output or gradient must be writable, and this one is const
#include <distill/interop/torch_view.hpp>
#include <distill/loss/forward_kl.hpp>

#if defined(MUST_FAIL)
using gradient_tensor = const at::Tensor;
#else
using gradient_tensor = at::Tensor;
#endif

double value(const at::Tensor& student, const at::Tensor& teacher, gradient_tensor& gradient) {
  return distill::forward_kl{}(distill::torch_matrix(student), distill::torch_matrix(teacher),
                               distill::torch_matrix(gradient));
}
