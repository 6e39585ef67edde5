#pragma once

#include <distill/moe/expert_order.hpp>
#include <distill/moe/top_k_gate.hpp>

#include "dense_layer.hpp"
#include "network.hpp"

namespace fashion_mnist {

struct labelled_images;

struct mixture_shape {
  index hidden = 512;         // features of an image, the experts' inputs and outputs
  index expert_hidden = 128;  // features inside an expert
  index experts = 8;
  index experts_per_image = 2;
  float dropout = 0;      // of the features
  double balance = 0.05;  // coefficient of the load-balancing loss
};

/// Number of weights and biases.
index parameter_count(const mixture_shape& shape);

/// A classifier with a mixture of experts in the middle: features = ReLU(dense(pixels)), logits =
/// dense(features + Σ weight * expert(features)), each expert a perceptron with one hidden layer. A gate
/// sends every image to a few of the experts, so most of the parameters rest for any one image. The switch
/// loss, which keeps the experts evenly used, is part of the gradient.
class mixture_of_experts final : public network {
 public:
  mixture_of_experts(const mixture_shape& shape, std::uint64_t seed);

  matrix logits(const matrix& inputs) const override;
  /// Layer 0: the features; layer 1: what the experts made of them.
  matrix hidden(const matrix& inputs, index layer) const override;
  const matrix& forward(const matrix& inputs, std::int64_t step) override;
  void backward(const matrix& logit_gradient) override;

  /// How many images of each class [classes] went to each expert [experts].
  using counts = Eigen::Matrix<std::int64_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  counts count_routes(const labelled_images& images) const;

 private:
  using expert_ids = Eigen::Matrix<std::int32_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using expert_rows = Eigen::Matrix<std::int64_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  struct expert {
    dense_layer inner, outer;
  };
  /// What one batch leaves behind on its way to the logits.
  struct trace {
    matrix inputs, features, router_logits;
    expert_ids chosen;                                    // [images, k]
    matrix weights;                                       // [images, k]
    std::vector<std::int64_t> offsets;                    // [experts + 1]
    expert_rows rows;                                     // [images, k]
    matrix expert_inputs, expert_hidden, expert_outputs;  // [images k], in the order of experts
    matrix mixed, logits;
    std::vector<std::int64_t> assignments;  // [experts]
    std::vector<double> probability_sums;   // [experts]

    distill::routing<float> routing();
    distill::expert_order order();
  };

  void encode(const matrix& inputs, trace& pass) const;
  void route(trace& pass) const;
  void mix(trace& pass) const;
  template <class Task>
  void for_each_expert(trace& pass, const Task& task) const;
  void backward_through_experts(matrix& row_gradient, matrix& feature_gradient);
  void backward_through_router(const matrix& weight_gradient, matrix& feature_gradient);

  mixture_shape shape_;
  distill::top_k_gate gate_;
  dense_layer features_, router_, classes_;
  std::vector<expert> experts_;
  trace pass_;
  std::uint64_t seed_;
};

}  // namespace fashion_mnist
