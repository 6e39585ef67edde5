#include "training.hpp"

namespace fashion_mnist {

void train(network& model, training_state& state, const distill::curriculum& plan, batch_source& batches,
           const batch_loss& loss, const labelled_images& validation,
           const std::function<void()>& after_step) {
  distill::cursor now(plan, state.position);
  matrix logit_gradient(batches.batch_size(), class_count);
  while (!now.finished()) {
    const std::int64_t step = now.state().steps;
    const batch& batch = batches.at(step);
    const matrix& logits = model.forward(batch.inputs, step);
    state.summed_loss += loss(now, batch, logits, logit_gradient);
    model.backward(logit_gradient);
    state.optimizer.step(model.parameters(), model.gradient(), now.learning_rate());
    now.advance(1, batches.batch_size());
    const index in_epoch = step % batches.batches_per_epoch() + 1;
    const bool is_epoch = in_epoch == batches.batches_per_epoch();
    if (is_epoch) now.finish_epoch();
    if (is_epoch || now.finished()) {
      state.records.push_back({state.summed_loss / static_cast<double>(in_epoch),
                               evaluate(predict(model, validation.pixels), validation.labels)});
      state.summed_loss = 0;
    }
    state.position = now.state();
    after_step();
  }
}

}  // namespace fashion_mnist
