#include "batches.hpp"

#include <numeric>

namespace fashion_mnist {
namespace {

using image = Eigen::Matrix<std::uint8_t, image_side, image_side, Eigen::RowMajor>;

}  // namespace

batch_source::batch_source(const labelled_images& images, const matrix& teacher_logits, index batch_size,
                           bool mirror, std::uint64_t seed)
    : images_(images),
      teacher_logits_(teacher_logits),
      batch_size_(batch_size),
      mirror_(mirror),
      engine_(seed),
      order_(static_cast<std::size_t>(images.size())),
      pixels_(batch_size, pixel_count) {
  std::iota(order_.begin(), order_.end(), index{0});
  batch_.labels.resize(static_cast<std::size_t>(batch_size));
  batch_.teacher_logits.resize(teacher_logits.rows() > 0 ? batch_size : 0, class_count);
}

const batch& batch_source::next() {
  if (position_ % batches_per_epoch() == 0) {
    shuffle(order_, engine_);
    position_ = 0;
  }
  for (index row = 0; row < batch_size_; ++row) {
    copy_image(order_[static_cast<std::size_t>(position_ * batch_size_ + row)], row);
  }
  ++position_;
  batch_.inputs = network_inputs(pixels_);
  return batch_;
}

void batch_source::copy_image(index image_index, index row) {
  pixels_.row(row) = images_.pixels.row(image_index);
  if (mirror_ && below(engine_, 2) == 1) {
    Eigen::Map<image> drawn(pixels_.row(row).data());
    drawn = drawn.rowwise().reverse().eval();
  }
  batch_.labels[static_cast<std::size_t>(row)] = images_.labels[static_cast<std::size_t>(image_index)];
  if (teacher_logits_.rows() > 0) batch_.teacher_logits.row(row) = teacher_logits_.row(image_index);
}

}  // namespace fashion_mnist
