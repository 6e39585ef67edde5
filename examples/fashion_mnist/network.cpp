#include "network.hpp"

#include <algorithm>

#include "dataset.hpp"
#include "parallel.hpp"

namespace fashion_mnist {

matrix predict(const network& model, const pixel_matrix& pixels) {
  constexpr index chunk = 500;
  matrix logits(pixels.rows(), class_count);
  run_in_parallel((pixels.rows() + chunk - 1) / chunk, [&](index i) {
    const index count = std::min(chunk, pixels.rows() - i * chunk);
    logits.middleRows(i * chunk, count) = model.logits(network_inputs(pixels.middleRows(i * chunk, count)));
  });
  return logits;
}

}  // namespace fashion_mnist
