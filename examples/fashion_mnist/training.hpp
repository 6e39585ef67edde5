#pragma once

#include <functional>

#include "batches.hpp"
#include "metrics.hpp"

namespace fashion_mnist {

struct training_plan {
  int epochs = 1;
  index batch_size = 128;
  double learning_rate = 1e-3;  // falls to 0 along half a cosine
  bool mirror = false;          // see batch_source
};

/// Returns the loss of a batch and writes dLoss/dLogits.
using batch_loss = std::function<double(const batch&, const matrix& logits, matrix& logit_gradient)>;

struct epoch_record {
  double training_loss;  // mean over the epoch's batches
  scores validation;     // after the epoch
};
using history = std::vector<epoch_record>;

/// The training loop: batches, forward, loss, backward, optimizer step. `after_epoch` sees every record as it
/// comes.
history train(network& model, batch_source& batches, const batch_loss& loss, const training_plan& plan,
              const labelled_images& validation, const std::function<void(const epoch_record&)>& after_epoch);

}  // namespace fashion_mnist
