#pragma once

#include <chrono>

#include "checkpoint.hpp"

namespace fashion_mnist {

/// Where checkpoints are kept, and how often.
struct safekeeping {
  std::filesystem::path folder;
  std::chrono::duration<double> interval{5};
  bool starts_over = false;  // no checkpoint of an earlier run is used
  /// Asked after every step of every training, from its thread: whether to write a checkpoint and stop.
  std::function<bool()> should_stop = [] { return false; };
};

/// A training that a stop at any time does not undo: it goes on from its last checkpoint, and ends with the
/// same bits as if it had not stopped.
class resumable_training {
 public:
  /// `name` is that of its file. The network has its initial parameters. Goes on from the checkpoint, if
  /// there is one of this training; one of another training is named on stdout and not used. Throws
  /// checkpoint_error for a broken one.
  resumable_training(network& model, const distill::curriculum& plan, const std::string& name,
                     training_identity identity, const safekeeping& keeping);

  const history& records() const { return state_.records; }
  /// How many steps an earlier run has trained.
  std::int64_t earlier_steps() const { return earlier_steps_; }
  bool is_finished() const { return distill::cursor(plan_, state_.position).finished(); }
  const std::filesystem::path& file() const { return file_; }

  /// Trains to the end; writes a checkpoint at every interval and at the end. `after_epoch` sees each record
  /// as it comes. Throws interrupted, the checkpoint being written, when asked to stop.
  void finish(batch_source& batches, const batch_loss& loss, const labelled_images& validation,
              const std::function<void(const epoch_record&)>& after_epoch);

 private:
  void save() const { write_checkpoint(file_, identity_, model_.parameters(), state_); }

  network& model_;
  const distill::curriculum& plan_;
  std::filesystem::path file_;
  training_identity identity_;
  const safekeeping& keeping_;
  training_state state_;
  std::int64_t earlier_steps_ = 0;
};

}  // namespace fashion_mnist
