#include <distill/alignment/similarity_preserving.hpp>
#include <distill/interop/eigen.hpp>
#include <iostream>

#include "batches.hpp"
#include "convolutional_network.hpp"
#include "distillation.hpp"
#include "multilayer_perceptron.hpp"

namespace fashion_mnist {
namespace {

int failures = 0;

void check(bool holds, const std::string& what) {
  if (holds) return;
  ++failures;
  std::cout << "FAILED: " << what << std::endl;
}

matrix random_matrix(index rows, index columns, random_engine& engine) {
  matrix values(rows, columns);
  for (float& value : values.reshaped()) value = uniform(engine) - 0.5F;
  return values;
}

/// The gradient of value(network) against finite differences, at every seventh parameter.
template <class Network, class Value>
void check_gradient(Network& model, const Value& value, const std::string& what) {
  const vector gradient = model.gradient();
  const double scale = gradient.cwiseAbs().maxCoeff();
  double worst = 0;
  for (index i = 0; i < gradient.size(); i += 7) {
    constexpr float step = 3e-4F;
    const float kept = std::exchange(model.parameters()(i), model.parameters()(i) + step);
    const double above = value();
    model.parameters()(i) = kept - step;
    const double below = value();
    model.parameters()(i) = kept;
    worst =
        std::max(worst, std::abs((above - below) / (2 * step) - static_cast<double>(gradient(i))) / scale);
  }
  check(gradient.allFinite() && scale > 0 && worst < 0.01,
        what + ": the gradient is off by " + std::to_string(worst));
}

double product(const matrix& a, const matrix& b) { return a.cwiseProduct(b).cast<double>().sum(); }

void test_convolutions() {
  convolutional_network model({.first_channels = 3, .second_channels = 4, .hidden = 8}, 7);
  random_engine engine(1);
  const matrix inputs = random_matrix(5, pixel_count, engine),
               upstream = random_matrix(5, class_count, engine);
  check(model.forward(inputs, 0).isApprox(model.logits(inputs)),
        "logits differ between training and prediction");
  model.backward(upstream);
  check_gradient(
      model, [&] { return product(model.logits(inputs), upstream); }, "convolutions");
  check(model.hidden(inputs, 0).cols() == 7 * 7 * 4 && model.hidden(inputs, 1).cols() == 8,
        "the hidden layers of convolutions have their widths");
}

void test_pull() {
  multilayer_perceptron model({.widths = {20, 6, 5, 3}}, 3);
  random_engine engine(2);
  const matrix inputs = random_matrix(4, 20, engine), upstream = random_matrix(4, 3, engine),
               first = random_matrix(4, 6, engine), second = random_matrix(4, 5, engine);
  const auto value = [&] {
    return product(model.logits(inputs), upstream) + 2 * product(model.hidden(inputs, 0), first) +
           product(model.hidden(inputs, 1), second);
  };
  model.forward(inputs, 0);
  check(
      model.hidden(0).isApprox(model.hidden(inputs, 0)) && model.hidden(1).isApprox(model.hidden(inputs, 1)),
      "hidden layers differ between training and prediction");
  for (const matrix* gradient : {&first, &first}) model.pull(0, *gradient);
  model.pull(1, second);
  model.backward(upstream);
  check_gradient(model, value, "a pull at hidden layers");
  model.forward(inputs, 0);
  model.backward(upstream);
  check_gradient(
      model, [&] { return product(model.logits(inputs), upstream); }, "a pull only lasts once");
}

/// Three images of noise whose answers name them, and whether they are mirrored.
void test_mirrored_answers() {
  random_engine engine(3);
  labelled_images images{pixel_matrix(3, pixel_count), {0, 1, 2}};
  for (std::uint8_t& pixel : images.pixels.reshaped()) pixel = static_cast<std::uint8_t>(engine());
  const pixel_matrix other_side = mirrored(images.pixels);
  check(other_side != images.pixels && mirrored(other_side) == images.pixels,
        "mirrored twice is not the image");
  teacher_answers answers{.logits = matrix(6, class_count), .hidden = {{}, matrix(6, 2)}};
  for (index i = 0; i < 6; ++i) {
    answers.logits.row(i).setConstant(static_cast<float>(i));
    answers.hidden[1].row(i).setConstant(static_cast<float>(10 * i));
  }
  batch_source batches(images, answers, 3, true, 5);
  index count_mirrored = 0;
  for (std::int64_t step = 0; step < 20; ++step) {
    const batch& now = batches.at(step);
    for (index row = 0; row < 3; ++row) {
      const auto answer = static_cast<index>(now.teacher.logits(row, 0));
      const pixel_matrix& side = answer < 3 ? images.pixels : other_side;
      count_mirrored += answer < 3 ? 0 : 1;
      check(now.inputs.row(row) == network_inputs(side.row(answer % 3)).row(0) &&
                now.labels[static_cast<std::size_t>(row)] == answer % 3 &&
                now.teacher.hidden[1](row, 1) == static_cast<float>(10 * answer),
            "an answer is about another image, or its other side");
    }
  }
  check(count_mirrored > 15 && count_mirrored < 45, "half the images are mirrored");
  bool is_refused = false;
  try {
    batch_source(images, answers, 3, false, 5);
  } catch (const std::invalid_argument&) {
    is_refused = true;
  }
  check(is_refused, "answers about mirrored images that nobody sees are refused");
}

/// The layers of a curriculum add their loss, with weight, and change the gradient.
void test_alignment() {
  random_engine engine(4);
  batch taught;
  taught.inputs = random_matrix(6, 20, engine);
  taught.teacher = {.logits = random_matrix(6, 10, engine), .hidden = {{}, random_matrix(6, 9, engine)}};
  const auto learn = [&](double weight, multilayer_perceptron& student) {
    distill::stage stage{.name = "aligned", .length = {.amount = 10}, .loss_weight = 0.5};
    stage.objectives = {{"forward_kl", 1}};
    stage.layers = {{0, 1, weight}};
    const distill::cursor now(distill::curriculum{.stages = {stage}});
    const matrix logits = student.forward(taught.inputs, 0);
    matrix logit_gradient(6, 10);
    const double value = learn_as_planned(student)(now, taught, logits, logit_gradient);
    student.backward(logit_gradient);
    return value;
  };
  multilayer_perceptron plain({.widths = {20, 8, 10}}, 1), aligned({.widths = {20, 8, 10}}, 1);
  const double without = learn(0, plain), with = learn(30, aligned);
  const double expected =
      15 * distill::similarity_preserving{}(aligned.hidden(0), taught.teacher.hidden[1], distill::no_gradient,
                                            {.product = distill::eigen_product{}});
  check(expected > 0 && std::abs(with - without - expected) < 1e-5, "aligned layers do not add their loss");
  check(plain.gradient() != aligned.gradient(), "aligned layers do not change the gradient");
  check_gradient(
      aligned,
      [&] {
        multilayer_perceptron copy = aligned;
        return learn(30, copy);
      },
      "aligned layers");
}

}  // namespace
}  // namespace fashion_mnist

int main() {
  using namespace fashion_mnist;
  test_convolutions();
  test_pull();
  test_mirrored_answers();
  test_alignment();
  return failures == 0 ? 0 : 1;
}
