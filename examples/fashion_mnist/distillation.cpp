#include "distillation.hpp"

#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/objective.hpp>

namespace fashion_mnist {

double learn_from_labels(const batch& batch, const matrix& logits, matrix& logit_gradient) {
  return distill::cross_entropy{.labels = batch.labels}(logits, distill::no_teacher, logit_gradient);
}

batch_loss learn_from_teacher(double temperature) {
  return [temperature](const batch& batch, const matrix& student_logits, matrix& logit_gradient) {
    auto objective = 0.7 * distill::forward_kl{.temperature = temperature} +
                     0.3 * distill::cross_entropy{.labels = batch.labels};
    return objective(student_logits, batch.teacher_logits, logit_gradient);
  };
}

}  // namespace fashion_mnist
