#pragma once

#include "dataset.hpp"
#include "random.hpp"

namespace fashion_mnist {

struct batch {
  matrix inputs;
  label_vector labels;
  matrix teacher_logits;  // [images, 10]; empty when nobody teaches
};

/// Shuffled batches of the training images; the same seed gives the same batches in the same order.
class batch_source {
 public:
  /// `teacher_logits` has one row per image, or none. `mirror` swaps left and right of every other image
  /// drawn. The last, incomplete batch of an epoch is left out.
  batch_source(const labelled_images& images, const matrix& teacher_logits, index batch_size, bool mirror,
               std::uint64_t seed);

  index batches_per_epoch() const { return images_.size() / batch_size_; }

  /// The next batch; every epoch starts with a new shuffle.
  const batch& next();

 private:
  void copy_image(index image, index row);

  const labelled_images& images_;
  const matrix& teacher_logits_;
  index batch_size_;
  bool mirror_;
  random_engine engine_;
  std::vector<index> order_;
  index position_ = 0;
  pixel_matrix pixels_;
  batch batch_;
};

}  // namespace fashion_mnist
