// libtorch's autograd agrees with the gate: weights, and the gradient of weights, Switch loss and z-loss.
#include <torch/torch.h>
// after torch, which defines macros of the same names and takes them back
#undef CHECK
#include "moe/gate_cases.hpp"
#include "support/larger_error.hpp"

using namespace gate_cases;
using distill::gate_scoring;

namespace {

at::Tensor scores_of(gate_scoring scoring, const at::Tensor& z) {
  if (scoring == gate_scoring::sigmoid) return torch::sigmoid(z);
  if (scoring == gate_scoring::sqrt_softplus) return torch::nn::functional::softplus(z).sqrt();
  return torch::softmax(z, 1);
}

void check(gate_scoring scoring, bool renormalize, std::int64_t tokens, std::int64_t experts,
           std::int64_t k) {
  torch::manual_seed(5);
  const auto options = torch::TensorOptions().dtype(torch::kDouble);
  auto z = torch::randn({tokens, experts}, options).mul_(2).set_requires_grad(true);
  const auto upstream = torch::randn({tokens, k}, options), slopes = torch::randn({1, experts}, options);
  const auto scores = scores_of(scoring, z);
  const auto chosen = std::get<1>(z.topk(k, 1));
  const auto values = scores.gather(1, chosen);
  const bool normalised = renormalize || scoring == gate_scoring::top_k_then_softmax;
  const auto weights = (normalised ? values / values.sum(1, true) : values) * 1.5;
  const auto probabilities = scores / scores.sum(1, true);
  const auto loss = (weights * upstream).sum() + (probabilities * slopes).sum() +
                    torch::logsumexp(z, 1).square().sum() * 0.1;
  loss.backward();

  const auto n = static_cast<std::size_t>(tokens), e = static_cast<std::size_t>(experts);
  const auto kk = static_cast<std::size_t>(k);
  const distill::matrix_view<const double> logits(z.data_ptr<double>(), n, e),
      g(upstream.data_ptr<double>(), n, kk);
  const distill::top_k_gate gate{
      .k = kk, .scoring = scoring, .renormalize = renormalize, .scaling_factor = 1.5};
  routed<double> to(n, kk);
  guarded_matrix<double> gradient(n, e);
  gate(logits, to.view());
  gate.backward(logits, to.view(), g, gradient.view(),
                {.probability_slopes = {slopes.data_ptr<double>(), 1, e}, .z_loss = 0.1});
  const auto w = weights.detach().contiguous(), dz = z.grad().contiguous();
  double worst = 0;
  for (std::size_t t = 0; t < n; ++t) {
    for (std::size_t i = 0; i < kk; ++i) {
      REQUIRE(to.row(t)[i] ==
              chosen[static_cast<std::int64_t>(t)][static_cast<std::int64_t>(i)].item<std::int64_t>());
      worst = support::larger_error(worst, std::abs(to.weights.at(t, i) - w.data_ptr<double>()[t * kk + i]));
    }
    for (std::size_t j = 0; j < e; ++j)
      worst = support::larger_error(worst, std::abs(gradient.at(t, j) - dz.data_ptr<double>()[t * e + j]));
  }
  CAPTURE(text_of(gate), tokens, experts);
  REQUIRE(worst < 1e-12);
}

}  // namespace

TEST_CASE("autograd agrees") {
  for (const gate_scoring scoring : every_scoring)
    for (const bool renormalize : {false, true}) {
      check(scoring, renormalize, 20, 8, 2);
      check(scoring, renormalize, 20, 64, 6);
      check(scoring, renormalize, 10, 100, 20);
    }
}
