// libtorch's autograd must give the same values and gradients.
#include <catch2/catch.hpp>
#include <distill/alignment/adapter.hpp>
#include <distill/alignment/fsp.hpp>
#include <distill/alignment/hidden_cosine.hpp>
#include <distill/alignment/hidden_huber.hpp>
#include <distill/alignment/hidden_mse.hpp>
#include <distill/alignment/linear_cka.hpp>
#include <distill/alignment/rkd_distance.hpp>
#include <distill/alignment/similarity_preserving.hpp>
#include <distill/loss/correlation.hpp>
#include <distill/loss/ranking_hinge.hpp>
#include <distill/loss/ranking_logistic.hpp>
#include <distill/loss/row_options.hpp>
#include <distill/loss/universal_logit.hpp>
#include <distill/view/matrix_view.hpp>
#include <vector>

// Catch2 and libtorch both define CHECK.
#undef CHECK
#include <torch/torch.h>
#undef CHECK
#define CHECK(...) INTERNAL_CATCH_TEST("CHECK", Catch::ResultDisposition::ContinueOnFailure, __VA_ARGS__)

#include "alignment/plain_product.hpp"
#include "support/random_logits.hpp"

using namespace distill;
using support::logit_pair;

namespace {

constexpr std::size_t rows = 12, width = 20;
const support::plain_product product;

at::Tensor tensor_of(const std::vector<double>& values, std::size_t count) {
  return torch::tensor(values, torch::kDouble).reshape({static_cast<std::int64_t>(count), -1});
}

// `ours(student, teacher, gradient)` against autograd through `theirs(student, teacher)`.
template <class Ours, class Theirs>
void check_agreement(Ours ours, Theirs theirs) {
  const logit_pair pair = support::independent_logits(rows, width, 1, 1);
  std::vector<double> slopes(rows * width);
  const double value = ours(matrix_view<const double>(pair.student.data(), rows, width),
                            matrix_view<const double>(pair.teacher.data(), rows, width),
                            matrix_view<double>(slopes.data(), rows, width));
  const at::Tensor student = tensor_of(pair.student, rows).set_requires_grad(true);
  const at::Tensor loss = theirs(student, tensor_of(pair.teacher, rows));
  loss.backward();
  CHECK(value == Approx(loss.item<double>()).epsilon(1e-9));
  const at::Tensor gradient = student.grad().contiguous();
  for (std::size_t i = 0; i < slopes.size(); ++i)
    CHECK(slopes[i] == Approx(gradient.data_ptr<double>()[i]).epsilon(1e-7).margin(1e-10));
}

at::Tensor normalized_distances(const at::Tensor& x) {
  const at::Tensor off = 1 - torch::eye(rows, torch::kDouble);
  const at::Tensor difference = x.unsqueeze(0) - x.unsqueeze(1);
  const at::Tensor d = (difference.pow(2).sum(2) + torch::eye(rows, torch::kDouble)).sqrt() * off;
  return d / (d.sum() / static_cast<double>(rows * (rows - 1)));
}

}  // namespace

TEST_CASE("libtorch agrees on hidden states") {
  check_agreement(
      [](auto s, auto t, auto g) { return hidden_mse{}(s, t, g, {.reduction = reduction::mean}); },
      [](const at::Tensor& s, const at::Tensor& t) { return at::mse_loss(s, t); });
  check_agreement([](auto s, auto t,
                     auto g) { return hidden_huber{.delta = 0.7}(s, t, g, {.reduction = reduction::mean}); },
                  [](const at::Tensor& s, const at::Tensor& t) {
                    return at::huber_loss(s, t, at::Reduction::Mean, 0.7);
                  });
  check_agreement(
      [](auto s, auto t, auto g) { return hidden_cosine{}(s, t, g); },
      [](const at::Tensor& s, const at::Tensor& t) { return (1 - at::cosine_similarity(s, t, 1)).mean(); });
}

TEST_CASE("libtorch agrees on relations") {
  check_agreement([](auto s, auto t, auto g) { return rkd_distance{}(s, t, g, {.product = product}); },
                  [](const at::Tensor& s, const at::Tensor& t) {
                    return at::smooth_l1_loss(normalized_distances(s), normalized_distances(t),
                                              at::Reduction::Sum) /
                           static_cast<double>(rows * (rows - 1));
                  });
  check_agreement(
      [](auto s, auto t, auto g) { return similarity_preserving{}(s, t, g, {.product = product}); },
      [](const at::Tensor& s, const at::Tensor& t) {
        const auto similarities = [](const at::Tensor& x) {
          const at::Tensor gram = torch::mm(x, x.t());
          return gram / gram.norm(2, 1, true);
        };
        return (similarities(s) - similarities(t)).pow(2).mean();
      });
  check_agreement([](auto s, auto t, auto g) { return linear_cka{}(s, t, g, {.product = product}); },
                  [](const at::Tensor& s, const at::Tensor& t) {
                    const auto gram = [](const at::Tensor& x) {
                      const at::Tensor centered = x - x.mean(0, true);
                      return torch::mm(centered, centered.t());
                    };
                    const at::Tensor k = gram(s), l = gram(t);
                    return 1 - (k * l).sum() / (k.norm() * l.norm());
                  });
}

TEST_CASE("libtorch agrees on the adapter") {
  const adapter a{
      .student_width = width, .teacher_width = width, .bottleneck = 7, .layer_norm = true, .residual = true};
  std::vector<double> parameters(a.parameter_count()), gradient(parameters.size());
  support::random_source random(4);
  for (double& x : parameters) x = random.normal();
  const logit_pair pair = support::independent_logits(rows, width, 1, 1);
  std::vector<double> saved(a.saved_count(rows)), output(rows * width), input_gradient(rows * width);
  const matrix_view<const double> input(pair.student.data(), rows, width);
  a.forward(input, matrix_view<double>(output.data(), rows, width),
            {.product = product, .parameters = parameters, .saved = saved});
  a.backward(input, matrix_view<const double>(pair.teacher.data(), rows, width),
             matrix_view<double>(input_gradient.data(), rows, width),
             {.product = product, .parameters = parameters, .saved = saved, .parameter_gradient = gradient});

  const at::Tensor x = tensor_of(pair.student, rows).set_requires_grad(true);
  const at::Tensor all = torch::tensor(parameters, torch::kDouble).set_requires_grad(true);
  const auto parts = all.split_with_sizes({7 * width, 7, 7 * width, width, width, width});
  const at::Tensor inner = at::gelu(at::linear(x, parts[0].reshape({7, width}), parts[1]));
  const at::Tensor sum = at::linear(inner, parts[2].reshape({width, 7}), parts[3]) + x;
  const at::Tensor y = at::layer_norm(sum, {width}, parts[4], parts[5], a.epsilon);
  (y * tensor_of(pair.teacher, rows)).sum().backward();
  const at::Tensor expected = y.contiguous(), slope = x.grad().contiguous(),
                   parameter_slope = all.grad().contiguous();
  for (std::size_t i = 0; i < output.size(); ++i) {
    CHECK(output[i] == Approx(expected.data_ptr<double>()[i]).epsilon(1e-9).margin(1e-11));
    CHECK(input_gradient[i] == Approx(slope.data_ptr<double>()[i]).epsilon(1e-7).margin(1e-9));
  }
  for (std::size_t i = 0; i < gradient.size(); ++i)
    CHECK(gradient[i] == Approx(parameter_slope.data_ptr<double>()[i]).epsilon(1e-7).margin(1e-9));
}

namespace {

at::Tensor pearson(const at::Tensor& a, const at::Tensor& b, std::int64_t along) {
  return at::cosine_similarity(a - a.mean(along, true), b - b.mean(along, true), along);
}

// The mean over pairs of the teacher's `k` largest logits of softplus, or of the hinge.
at::Tensor ranking(const at::Tensor& s, const at::Tensor& t, std::int64_t k, bool is_hinge) {
  const at::Tensor z = s.gather(1, std::get<1>(t.topk(k, 1)));
  const at::Tensor x = (z.unsqueeze(2) - z.unsqueeze(1)) / 2;
  const at::Tensor upper = torch::ones({k, k}, torch::kDouble).triu(1);
  const at::Tensor loss = is_hinge ? (0.5 - x).clamp_min(0) : at::softplus(-x);
  return (loss * upper).sum() / (upper.sum() * static_cast<double>(rows));
}

}  // namespace

TEST_CASE("libtorch agrees on losses across rows, vocabularies and ranks") {
  check_agreement([](auto s, auto t, auto g) { return correlation{.temperature = 2, .gamma = 3}(s, t, g); },
                  [](const at::Tensor& s, const at::Tensor& t) {
                    const at::Tensor q = at::softmax(s / 2, 1), p = at::softmax(t / 2, 1);
                    return 4 * ((1 - pearson(q, p, 1)).mean() + 3 * (1 - pearson(q, p, 0)).mean());
                  });
  check_agreement([](auto s, auto t, auto g) { return universal_logit{.temperature = 2}(s, t, g); },
                  [](const at::Tensor& s, const at::Tensor& t) {
                    const at::Tensor q = std::get<0>(at::softmax(s / 2, 1).sort(1, true)),
                                     p = std::get<0>(at::softmax(t / 2, 1).sort(1, true));
                    return 4 * (q - p).abs().sum() / static_cast<double>(rows);
                  });
  check_agreement(
      [](auto s, auto t, auto g) { return ranking_hinge{.temperature = 2, .margin = 0.5, .classes = 6}(s, t, g); },
      [](const at::Tensor& s, const at::Tensor& t) { return ranking(s, t, 6, true); });
  check_agreement([](auto s, auto t, auto g) { return ranking_logistic{.temperature = 2, .classes = 9}(s, t, g); },
                  [](const at::Tensor& s, const at::Tensor& t) { return ranking(s, t, 9, false); });
}

// Three samples of four positions; the maps of the first layer change, then those of the second.
TEST_CASE("libtorch agrees on fsp") {
  const std::vector<double> other = support::independent_logits(rows, 7, 3).student,
                            teacher_other = support::independent_logits(rows, 7, 4).student;
  const at::Tensor fixed = tensor_of(other, rows), teacher_fixed = tensor_of(teacher_other, rows);
  const matrix_view<const double> late(other.data(), rows, 7), teacher_late(teacher_other.data(), rows, 7);
  std::vector<double> rest(rows * 7);
  const matrix_view<double> ignored(rest.data(), rows, 7);
  const auto flow = [](const at::Tensor& a, const at::Tensor& b) {
    const auto samples = [](const at::Tensor& x) { return x.reshape({3, 4, -1}); };
    return at::bmm(samples(a).transpose(1, 2), samples(b)) / 4;
  };
  const fsp loss{.positions = 4};
  check_agreement(
      [&](auto s, auto t, auto g) {
        return loss(map_pair(s, late), map_pair(t, teacher_late), map_pair(g, ignored), {.product = product});
      },
      [&](const at::Tensor& s, const at::Tensor& t) { return at::mse_loss(flow(s, fixed), flow(t, teacher_fixed)); });
  check_agreement(
      [&](auto s, auto t, auto g) {
        return loss(map_pair(late, s), map_pair(teacher_late, t), map_pair(ignored, g), {.product = product});
      },
      [&](const at::Tensor& s, const at::Tensor& t) { return at::mse_loss(flow(fixed, s), flow(teacher_fixed, t)); });
}
