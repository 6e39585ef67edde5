#pragma once

#include <distill/curriculum/mixture.hpp>

#include "dataset.hpp"

namespace fashion_mnist {

/// What a teacher says about images, a row each; everything is empty where nobody teaches. Where students see
/// mirrored images the other half of the rows is about those, in the same order.
struct teacher_answers {
  matrix logits = {};               // [images, classes]
  std::vector<matrix> hidden = {};  // of its hidden layers, [images, width]; empty for those nobody follows
};

struct batch {
  matrix inputs;
  label_vector labels;
  teacher_answers teacher;
};

pixel_matrix mirrored(const pixel_matrix& pixels);

/// Shuffled batches of the training images. A batch is a function of seed and step: nothing is remembered, so
/// a training that goes on at any step sees what it would have seen.
class batch_source {
 public:
  /// `teacher` says something about each image, or is empty. `mirror` swaps left and right of every other
  /// image drawn; the teacher's answers are then those about the mirrored image. Throws std::invalid_argument
  /// for another number of answers.
  batch_source(const labelled_images& images, const teacher_answers& teacher, index batch_size, bool mirror,
               std::uint64_t seed);

  index batch_size() const { return batch_size_; }
  /// As many as fit; an epoch leaves out what would not fill one, each epoch other images.
  index batches_per_epoch() const { return images_.size() / batch_size_; }

  /// The batch of a training step, 0-based; valid until the next call.
  const batch& at(std::int64_t step);

 private:
  void copy_image(index image, bool is_mirrored, index row);

  const labelled_images& images_;
  const teacher_answers& teacher_;
  index batch_size_;
  bool mirror_;
  std::uint64_t seed_;
  distill::mixture draw_;  // of one source
  pixel_matrix pixels_;
  batch batch_;
};

}  // namespace fashion_mnist
