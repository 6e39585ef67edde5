#include "network.hpp"

#include <algorithm>

#include "dataset.hpp"
#include "parallel.hpp"

namespace fashion_mnist {

namespace {

/// outputs(inputs) of all images, chunk by chunk.
template <class Outputs>
matrix in_chunks(const pixel_matrix& pixels, const Outputs& outputs) {
  constexpr index chunk = 500;
  const auto outputs_of = [&](index first) {
    return outputs(network_inputs(pixels.middleRows(first, std::min(chunk, pixels.rows() - first))));
  };
  const matrix begin = outputs_of(0);
  matrix all(pixels.rows(), begin.cols());
  all.topRows(begin.rows()) = begin;
  run_in_parallel((pixels.rows() - 1) / chunk, [&](index i) {
    const matrix part = outputs_of((i + 1) * chunk);
    all.middleRows((i + 1) * chunk, part.rows()) = part;
  });
  return all;
}

}  // namespace

matrix predict(const network& model, const pixel_matrix& pixels) {
  return in_chunks(pixels, [&](const matrix& inputs) { return model.logits(inputs); });
}

matrix predict_hidden(const network& model, const pixel_matrix& pixels, index layer) {
  return in_chunks(pixels, [&](const matrix& inputs) { return model.hidden(inputs, layer); });
}

}  // namespace fashion_mnist
