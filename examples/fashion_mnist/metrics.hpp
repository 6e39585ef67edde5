#pragma once

#include "network.hpp"

namespace fashion_mnist {

/// How well logits fit labels.
struct scores {
  double accuracy = 0;                 // share of images whose largest logit is at the label
  double negative_log_likelihood = 0;  // mean of -log softmax(logits)[label], nats
  double calibration_error = 0;        // expected calibration error, 15 bins
};

/// Expected calibration error (Guo et al. 2017, arXiv 1706.04599, equation 3): images are put into 15 equal
/// bins by their largest probability; the mean over images of |accuracy - mean confidence| of their bin.
double expected_calibration_error(const matrix& probabilities, const label_vector& labels);

scores evaluate(const matrix& logits, const label_vector& labels);

/// Time of one image, predicted 100 at a time by one thread: the fastest of 20 repetitions.
double microseconds_per_image(const network& model, const pixel_matrix& pixels);

}  // namespace fashion_mnist
