// Fails with: this tensor is a temporary and its memory may be gone; give it a name first
#include <distill/interop/torch_view.hpp>
#include <distill/loss/forward_kl.hpp>

at::Tensor logits();

double value(const at::Tensor& student) {
#if defined(MUST_FAIL)
  return distill::forward_kl{}(distill::torch_matrix(student), distill::torch_matrix(logits()));
#else
  const at::Tensor teacher = logits();
  return distill::forward_kl{}(distill::torch_matrix(student), distill::torch_matrix(teacher));
#endif
}
