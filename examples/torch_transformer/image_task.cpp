#include <ATen/ATen.h>

#include <distill/curriculum/mixture.hpp>

#include "data/idx_file.hpp"
#include "task.hpp"

namespace torch_transformer {
namespace {

constexpr std::int64_t training_count = 55'000, validation_count = 5'000, test_count = 10'000;
constexpr double mean_grey = 72.9, grey_deviation = 90.0;

struct images {
  at::Tensor pixels;  // [images, rows, columns] of Byte
  at::Tensor labels;  // [images] of Long
};

images read(const std::filesystem::path& folder, const std::string& prefix, std::int64_t count) {
  auto pixels = data::read_images(folder / (prefix + "-images-idx3-ubyte.gz"), count);
  auto labels = data::read_labels(folder / (prefix + "-labels-idx1-ubyte.gz"), count);
  return {at::from_blob(pixels.data(), {count, data::image_side, data::image_side}, at::kByte).clone(),
          at::from_blob(labels.data(), {count}, at::kByte).to(at::kLong)};
}

batch chosen(const images& all, const at::Tensor& numbers) {
  return {(all.pixels.index_select(0, numbers).to(at::kFloat) - mean_grey) / grey_deviation,
          all.labels.index_select(0, numbers)};
}

std::vector<batch> consecutive(const images& all, std::int64_t begin, std::int64_t count, std::int64_t size,
                               std::int64_t most) {
  std::vector<batch> batches;
  for (std::int64_t at = begin; at < begin + count && std::ssize(batches) < most; at += size)
    batches.push_back(chosen(all, at::arange(at, std::min(at + size, begin + count))));
  return batches;
}

}  // namespace

task image_task(const std::filesystem::path& folder, const task_plan& plan) {
  const images training = read(folder, "train", training_count + validation_count);
  const images test = read(folder, "t10k", test_count);
  const std::int64_t size = plan.batch_size, count = training_count / size * size;
  const auto draw = [=](std::int64_t step, std::uint64_t seed) {
    const distill::mixture order({1}, count, seed);  // every image once in `count` draws
    const at::Tensor numbers = at::empty({size}, at::kLong);
    for (std::int64_t row = 0; row < size; ++row)
      numbers.data_ptr<std::int64_t>()[row] = order(step * size + row).item % training_count;
    return chosen(training, numbers);
  };
  return {draw, consecutive(training, training_count, validation_count, size, plan.evaluation_batches),
          consecutive(test, 0, test_count, size, plan.test_batches)};
}

}  // namespace torch_transformer
