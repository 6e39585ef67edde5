#include "training.hpp"

#include <cmath>
#include <numbers>

#include "adam.hpp"

namespace fashion_mnist {

history train(network& model, batch_source& batches, const batch_loss& loss, const training_plan& plan,
              const labelled_images& validation,
              const std::function<void(const epoch_record&)>& after_epoch) {
  adam optimizer(model.parameters().size());
  matrix logit_gradient(plan.batch_size, class_count);
  history records;
  const double step_count = static_cast<double>(plan.epochs * batches.batches_per_epoch());
  double step = 0;
  for (int epoch = 0; epoch < plan.epochs; ++epoch) {
    double summed_loss = 0;
    for (index i = 0; i < batches.batches_per_epoch(); ++i) {
      const batch& batch = batches.next();
      const matrix& logits = model.forward(batch.inputs);
      summed_loss += loss(batch, logits, logit_gradient);
      model.backward(logit_gradient);
      const double cosine = (1 + std::cos(std::numbers::pi * step++ / step_count)) / 2;
      optimizer.step(model.parameters(), model.gradient(), plan.learning_rate * cosine);
    }
    records.push_back({summed_loss / static_cast<double>(batches.batches_per_epoch()),
                       evaluate(predict(model, validation.pixels), validation.labels)});
    after_epoch(records.back());
  }
  return records;
}

}  // namespace fashion_mnist
