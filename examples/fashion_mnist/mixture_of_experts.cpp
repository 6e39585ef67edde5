#include "mixture_of_experts.hpp"

#include <distill/moe/expert_order.hpp>
#include <distill/moe/switch_loss.hpp>
#include <distill/moe/token_exchange.hpp>

#include "dataset.hpp"
#include "parallel.hpp"

namespace fashion_mnist {

index parameter_count(const mixture_shape& shape) {
  const auto dense = [](index inputs, index outputs) { return (inputs + 1) * outputs; };
  return dense(pixel_count, shape.hidden) + dense(shape.hidden, shape.experts) +
         shape.experts *
             (dense(shape.hidden, shape.expert_hidden) + dense(shape.expert_hidden, shape.hidden)) +
         dense(shape.hidden, class_count);
}

mixture_of_experts::mixture_of_experts(const mixture_shape& shape, std::uint64_t seed)
    : network(parameter_count(shape)),
      shape_(shape),
      gate_{.k = static_cast<std::size_t>(shape.experts_per_image)},
      seed_(seed) {
  random_engine engine(seed);
  index offset = 0;
  const auto dense = [&](index inputs, index outputs) {
    const dense_layer layer{inputs, outputs, offset};
    layer.initialise(parameters_, engine);
    offset += layer.size();
    return layer;
  };
  features_ = dense(pixel_count, shape.hidden);
  router_ = dense(shape.hidden, shape.experts);
  // Small enough that the first images spread over the experts.
  router_.weights(parameters_) *= 0.1F;
  for (index i = 0; i < shape.experts; ++i) {
    const dense_layer inner = dense(shape.hidden, shape.expert_hidden);
    experts_.push_back({inner, dense(shape.expert_hidden, shape.hidden)});
  }
  classes_ = dense(shape.hidden, class_count);
}

distill::routing<float> mixture_of_experts::trace::routing() {
  const auto images = static_cast<std::size_t>(chosen.rows()), k = static_cast<std::size_t>(chosen.cols());
  return {distill::matrix_view(chosen.data(), images, k), distill::matrix_view(weights.data(), images, k)};
}

distill::expert_order mixture_of_experts::trace::order() {
  return {.offsets = offsets,
          .rows = distill::matrix_view(rows.data(), static_cast<std::size_t>(rows.rows()),
                                       static_cast<std::size_t>(rows.cols()))};
}

void mixture_of_experts::encode(const matrix& inputs, trace& pass) const {
  pass.inputs = inputs;
  pass.features.resize(inputs.rows(), shape_.hidden);
  features_.forward(parameters_, inputs, pass.features);
  pass.features = pass.features.cwiseMax(0.0F);
}

void mixture_of_experts::route(trace& pass) const {
  const index images = pass.features.rows();
  pass.router_logits.resize(images, shape_.experts);
  router_.forward(parameters_, pass.features, pass.router_logits);
  pass.chosen.resize(images, shape_.experts_per_image);
  pass.weights.resize(images, shape_.experts_per_image);
  pass.assignments.assign(static_cast<std::size_t>(shape_.experts), 0);
  pass.probability_sums.assign(static_cast<std::size_t>(shape_.experts), 0);
  distill::router_statistics statistics{.assignments = pass.assignments,
                                        .probability_sums = pass.probability_sums};
  gate_(pass.router_logits, pass.routing(), {.statistics = &statistics});
}

/// Calls task(expert, first row, rows) for each expert's rows in expert order.
template <class Task>
void mixture_of_experts::for_each_expert(trace& pass, const Task& task) const {
  run_in_parallel(shape_.experts, [&](index i) {
    const auto e = static_cast<std::size_t>(i);
    const index first = pass.offsets[e], rows = pass.offsets[e + 1] - first;
    if (rows > 0) task(experts_[e], first, rows);
  });
}

void mixture_of_experts::mix(trace& pass) const {
  const index images = pass.features.rows(), rows = images * shape_.experts_per_image;
  pass.offsets.resize(static_cast<std::size_t>(shape_.experts) + 1);
  pass.rows.resize(images, shape_.experts_per_image);
  const distill::expert_order order = pass.order();
  distill::order_by_expert(pass.routing().experts, order);
  pass.expert_inputs.resize(rows, shape_.hidden);
  pass.expert_hidden.resize(rows, shape_.expert_hidden);
  pass.expert_outputs.resize(rows, shape_.hidden);
  distill::dispatch_tokens(pass.features, order, pass.expert_inputs);
  for_each_expert(pass, [&](const expert& expert, index first, index count) {
    auto hidden = pass.expert_hidden.middleRows(first, count);
    expert.inner.forward(parameters_, pass.expert_inputs.middleRows(first, count), hidden);
    hidden = hidden.cwiseMax(0.0F);
    expert.outer.forward(parameters_, hidden, pass.expert_outputs.middleRows(first, count));
  });
  pass.mixed = pass.features;
  distill::combine_tokens(pass.expert_outputs, pass.weights, order, pass.mixed, {.accumulate = true});
  pass.logits.resize(images, class_count);
  classes_.forward(parameters_, pass.mixed, pass.logits);
}

matrix mixture_of_experts::logits(const matrix& inputs) const {
  trace pass;
  encode(inputs, pass);
  route(pass);
  mix(pass);
  return pass.logits;
}

matrix mixture_of_experts::hidden(const matrix& inputs, index layer) const {
  trace pass;
  encode(inputs, pass);
  if (layer == 0) return pass.features;
  route(pass);
  mix(pass);
  return pass.mixed;
}

const matrix& mixture_of_experts::forward(const matrix& inputs, std::int64_t step) {
  random_engine engine = engine_of(seed_, step);
  encode(inputs, pass_);
  if (shape_.dropout > 0) drop(pass_.features, shape_.dropout, engine);
  route(pass_);
  mix(pass_);
  return pass_.logits;
}

void mixture_of_experts::backward_through_experts(matrix& row_gradient, matrix& feature_gradient) {
  for_each_expert(pass_, [&](const expert& expert, index first, index count) {
    const auto hidden = pass_.expert_hidden.middleRows(first, count);
    auto outer_gradient = row_gradient.middleRows(first, count);
    expert.outer.backward(hidden, outer_gradient, gradient_);
    matrix hidden_gradient(count, shape_.expert_hidden);
    expert.outer.input_gradient(parameters_, outer_gradient, hidden_gradient);
    hidden_gradient = (hidden.array() > 0).select(hidden_gradient, 0.0F);
    expert.inner.backward(pass_.expert_inputs.middleRows(first, count), hidden_gradient, gradient_);
    expert.inner.input_gradient(parameters_, hidden_gradient, outer_gradient);
  });
  distill::dispatch_tokens_backward(row_gradient, pass_.order(), feature_gradient, {.accumulate = true});
}

void mixture_of_experts::backward_through_router(const matrix& weight_gradient, matrix& feature_gradient) {
  const distill::router_statistics statistics{.assignments = pass_.assignments,
                                              .probability_sums = pass_.probability_sums,
                                              .tokens = pass_.features.rows()};
  std::vector<double> slopes(static_cast<std::size_t>(shape_.experts));
  distill::switch_loss{.coefficient = shape_.balance, .experts_per_token = shape_.experts_per_image}(
      statistics, slopes);
  matrix router_gradient(pass_.features.rows(), shape_.experts);
  gate_.backward(pass_.router_logits, pass_.routing(), weight_gradient, router_gradient,
                 {.probability_slopes = distill::matrix_view<const double>(slopes.data(), 1, slopes.size())});
  router_.backward(pass_.features, router_gradient, gradient_);
  matrix through_router(feature_gradient.rows(), feature_gradient.cols());
  router_.input_gradient(parameters_, router_gradient, through_router);
  feature_gradient += through_router;
}

void mixture_of_experts::backward(const matrix& logit_gradient) {
  gradient_.setZero();  // experts without an image have no other gradient
  classes_.backward(pass_.mixed, logit_gradient, gradient_);
  matrix feature_gradient(logit_gradient.rows(), shape_.hidden);
  classes_.input_gradient(parameters_, logit_gradient, feature_gradient);
  matrix row_gradient(pass_.expert_outputs.rows(), shape_.hidden);
  matrix weight_gradient(logit_gradient.rows(), shape_.experts_per_image);
  distill::combine_tokens_backward(feature_gradient, pass_.expert_outputs, pass_.weights, pass_.order(),
                                   row_gradient, weight_gradient);
  backward_through_experts(row_gradient, feature_gradient);
  backward_through_router(weight_gradient, feature_gradient);
  const float kept_scale = 1 / (1 - shape_.dropout);
  feature_gradient = (pass_.features.array() > 0).select(kept_scale * feature_gradient, 0.0F);
  features_.backward(pass_.inputs, feature_gradient, gradient_);
}

mixture_of_experts::counts mixture_of_experts::count_routes(const labelled_images& images) const {
  counts result = counts::Zero(class_count, shape_.experts);
  trace pass;
  encode(network_inputs(images.pixels), pass);
  route(pass);
  for (index image = 0; image < pass.chosen.rows(); ++image) {
    const index label = images.labels[static_cast<std::size_t>(image)];
    for (index slot = 0; slot < pass.chosen.cols(); ++slot) ++result(label, pass.chosen(image, slot));
  }
  return result;
}

}  // namespace fashion_mnist
