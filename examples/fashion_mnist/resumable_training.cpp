#include "resumable_training.hpp"

#include <distill/interop/json.hpp>
#include <iostream>

#include "interruption.hpp"

namespace fashion_mnist {

resumable_training::resumable_training(network& model, const distill::curriculum& plan,
                                       const std::string& name, training_identity identity,
                                       const safekeeping& keeping)
    : model_(model),
      plan_(plan),
      file_(keeping.folder / (name + ".checkpoint")),
      identity_(std::move(identity)),
      keeping_(keeping),
      state_(model.parameters().size()) {
  identity_["curriculum"] = distill::save_json(plan);
  if (keeping.starts_over || !std::filesystem::exists(file_)) return;
  try {
    read_checkpoint(file_, identity_, model.parameters(), state_);
    earlier_steps_ = distill::cursor(plan_, state_.position).state().steps;
  } catch (const foreign_checkpoint& error) {
    std::cout << error.what() << "; it is not used\n";
  } catch (const distill::parameter_error& error) {
    throw checkpoint_error(file_.string() + ": " + error.what());
  }
}

void resumable_training::finish(batch_source& batches, const batch_loss& loss,
                                const labelled_images& validation,
                                const std::function<void(const epoch_record&)>& after_epoch) {
  using clock = std::chrono::steady_clock;
  if (is_finished()) return;
  auto last_saved = clock::now();
  std::size_t reported = state_.records.size();
  train(model_, state_, plan_, batches, loss, validation, [&] {
    const bool is_asked_to_stop = keeping_.should_stop();
    if (is_asked_to_stop || clock::now() - last_saved >= keeping_.interval) {
      save();
      last_saved = clock::now();
    }
    if (is_asked_to_stop) throw interrupted();
    for (; reported < state_.records.size(); ++reported) after_epoch(state_.records[reported]);
  });
  save();
}

}  // namespace fashion_mnist
