#include "dataset.hpp"

#include <array>

#include "data/idx_file.hpp"

namespace fashion_mnist {
namespace {

constexpr index training_file_size = 60000;
constexpr index test_file_size = 10000;
constexpr float mean_grey = 72.9F;
constexpr float grey_deviation = 90.0F;

labelled_images read(const std::filesystem::path& folder, const std::string& prefix, index count) {
  const std::vector<std::uint8_t> pixels =
      data::read_images(folder / (prefix + "-images-idx3-ubyte.gz"), count);
  return {Eigen::Map<const pixel_matrix>(pixels.data(), count, pixel_count),
          data::read_labels(folder / (prefix + "-labels-idx1-ubyte.gz"), count)};
}

labelled_images part(const labelled_images& all, index begin, index count) {
  return {all.pixels.middleRows(begin, count),
          {all.labels.begin() + begin, all.labels.begin() + begin + count}};
}

}  // namespace

dataset load_dataset(const std::filesystem::path& folder, const dataset_sizes& sizes) {
  const labelled_images training = read(folder, "train", training_file_size);
  const labelled_images test = read(folder, "t10k", test_file_size);
  return {.training = part(training, 0, sizes.training),
          .validation = part(training, training_file_size - sizes.validation, sizes.validation),
          .test = part(test, 0, sizes.test)};
}

const char* class_name(index label) {
  static constexpr std::array names = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                       "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
  return names.at(static_cast<std::size_t>(label));
}

matrix network_inputs(const pixel_matrix& pixels) {
  return (pixels.cast<float>().array() - mean_grey) / grey_deviation;
}

}  // namespace fashion_mnist
