#include "distillation.hpp"

#include <distill/alignment/similarity_preserving.hpp>
#include <distill/interop/eigen.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/jensen_shannon.hpp>
#include <distill/loss/logit_mse.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/reverse_kl.hpp>

namespace fashion_mnist {
namespace {

struct named_loss {
  const char* name;
  distill::objective (*at)(double temperature, const batch& batch);
};

constexpr named_loss losses[] = {
    {"forward_kl", [](double t, const batch&) { return 1 * distill::forward_kl{.temperature = t}; }},
    {"reverse_kl", [](double t, const batch&) { return 1 * distill::reverse_kl{.temperature = t}; }},
    {"jensen_shannon", [](double t, const batch&) { return 1 * distill::jensen_shannon{.temperature = t}; }},
    {"logit_mse", [](double, const batch&) { return 1 * distill::logit_mse{}; }},
    {"cross_entropy", [](double, const batch& b) { return 1 * distill::cross_entropy{.labels = b.labels}; }},
};

double learn_objectives(const distill::cursor& now, const batch& batch, const matrix& logits,
                        matrix& logit_gradient) {
  distill::objective objective;
  for (const named_loss& loss : losses) {
    const double weight = now.loss_weight() * now.objective_weight(loss.name);
    if (weight > 0) objective += weight * loss.at(now.temperature(), batch);
  }
  if (!objective.terms().empty()) return objective(logits, batch.teacher.logits, logit_gradient);
  logit_gradient.setZero();
  return 0;
}

double align(const distill::cursor& now, const batch& batch, multilayer_perceptron& student) {
  const distill::eigen_product product;
  double value = 0;
  for (index i = 0; i < student.hidden_layers(); ++i) {
    for (std::size_t j = 0; j < batch.teacher.hidden.size(); ++j) {
      const double weight = now.loss_weight() * now.layer_weight(i, static_cast<std::int64_t>(j));
      if (weight == 0) continue;
      const matrix& hidden = student.hidden(i);
      matrix gradient(hidden.rows(), hidden.cols());
      value += weight * distill::similarity_preserving{}(hidden, batch.teacher.hidden[j], gradient,
                                                         {.product = product});
      student.pull(i, static_cast<float>(weight) * gradient);
    }
  }
  return value;
}

}  // namespace

report::curriculum_rules rules_for_curricula() {
  report::curriculum_rules rules{.losses = {},
                                 .student = {1, "must be 0, the students here have one hidden layer"},
                                 .teacher = {2, "must be 0 or 1, the teachers here have two hidden layers"}};
  for (const named_loss& loss : losses) rules.losses.emplace_back(loss.name);
  return rules;
}

double learn_from_labels(const distill::cursor& now, const batch& batch, const matrix& logits,
                         matrix& logit_gradient) {
  const auto objective = now.loss_weight() * distill::cross_entropy{.labels = batch.labels};
  return objective(logits, distill::no_teacher, logit_gradient);
}

batch_loss learn_as_planned(multilayer_perceptron& student) {
  return [&student](const distill::cursor& now, const batch& batch, const matrix& logits,
                    matrix& logit_gradient) {
    return learn_objectives(now, batch, logits, logit_gradient) + align(now, batch, student);
  };
}

}  // namespace fashion_mnist
