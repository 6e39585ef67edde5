#include "batches.hpp"

#include <distill/numeric/philox.hpp>
#include <stdexcept>
#include <string>

namespace fashion_mnist {
namespace {

using image = Eigen::Matrix<std::uint8_t, image_side, image_side, Eigen::RowMajor>;

void swap_left_and_right(pixel_matrix& pixels, index row) {
  Eigen::Map<image> drawn(pixels.row(row).data());
  drawn = drawn.rowwise().reverse().eval();
}

}  // namespace

pixel_matrix mirrored(const pixel_matrix& pixels) {
  pixel_matrix result = pixels;
  for (index row = 0; row < result.rows(); ++row) swap_left_and_right(result, row);
  return result;
}

batch_source::batch_source(const labelled_images& images, const teacher_answers& teacher, index batch_size,
                           bool mirror, std::uint64_t seed)
    : images_(images),
      teacher_(teacher),
      batch_size_(batch_size),
      mirror_(mirror),
      seed_(seed),
      draw_({1}, images.size() / batch_size * batch_size, seed),
      pixels_(batch_size, pixel_count) {
  const auto require_answers = [&](const matrix& answers) {
    if (answers.rows() != 0 && answers.rows() != (mirror ? 2 : 1) * images.size())
      throw std::invalid_argument("batch_source: " + std::to_string(answers.rows()) + " answers about " +
                                  std::to_string(images.size()) +
                                  (mirror ? " images, mirrored too" : " images"));
  };
  require_answers(teacher.logits);
  for (const matrix& layer : teacher.hidden) require_answers(layer);
  batch_.labels.resize(static_cast<std::size_t>(batch_size));
  batch_.teacher.logits.resize(teacher.logits.rows() > 0 ? batch_size : 0, class_count);
  for (const matrix& layer : teacher.hidden)
    batch_.teacher.hidden.emplace_back(layer.rows() > 0 ? batch_size : 0, layer.cols());
}

const batch& batch_source::at(std::int64_t step) {
  const distill::random_stream side{.seed = seed_, .step = static_cast<std::uint64_t>(step)};
  for (index row = 0; row < batch_size_; ++row) {
    copy_image(draw_(step * batch_size_ + row).item % images_.size(),
               mirror_ && side.uniform(static_cast<std::size_t>(row), 0) < 0.5, row);
  }
  batch_.inputs = network_inputs(pixels_);
  return batch_;
}

void batch_source::copy_image(index image_index, bool is_mirrored, index row) {
  pixels_.row(row) = images_.pixels.row(image_index);
  if (is_mirrored) swap_left_and_right(pixels_, row);
  batch_.labels[static_cast<std::size_t>(row)] = images_.labels[static_cast<std::size_t>(image_index)];
  const index answer = is_mirrored ? images_.size() + image_index : image_index;
  if (teacher_.logits.rows() > 0) batch_.teacher.logits.row(row) = teacher_.logits.row(answer);
  for (std::size_t i = 0; i < teacher_.hidden.size(); ++i)
    if (teacher_.hidden[i].rows() > 0) batch_.teacher.hidden[i].row(row) = teacher_.hidden[i].row(answer);
}

}  // namespace fashion_mnist
