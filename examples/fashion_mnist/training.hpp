#pragma once

#include <distill/curriculum/cursor.hpp>
#include <functional>

#include "adam.hpp"
#include "batches.hpp"
#include "metrics.hpp"

namespace fashion_mnist {

/// How a network is trained: the curriculum says for how long, at which learning rate, with which loss.
struct training_plan {
  distill::curriculum curriculum;
  index batch_size = 128;
  bool mirror = false;  // see batch_source
};

/// Returns the loss of a batch at this point of the curriculum and writes dLoss/dLogits.
using batch_loss = std::function<double(const distill::cursor& now, const batch&, const matrix& logits,
                                        matrix& logit_gradient)>;

struct epoch_record {
  double training_loss;  // mean over the epoch's batches
  scores validation;     // after the epoch
};
using history = std::vector<epoch_record>;

/// What training changes, besides the network's parameters. With both, a training goes on as if it had never
/// stopped.
struct training_state {
  adam optimizer;
  distill::cursor_state position = {};
  history records = {};
  double summed_loss = 0;  // over the batches of the current epoch

  explicit training_state(index parameter_count) : optimizer(parameter_count) {}
};

/// The training loop, from where `state` is to the end of the curriculum: batches, forward, loss, backward,
/// optimizer step; a record after each epoch and at the end. A token of the curriculum is an image.
/// `after_step` is called when network and state have changed; it may throw to stop.
void train(network& model, training_state& state, const distill::curriculum& plan, batch_source& batches,
           const batch_loss& loss, const labelled_images& validation,
           const std::function<void()>& after_step);

}  // namespace fashion_mnist
