// libtorch's autograd must give the same values and gradients.
#include <catch2/catch.hpp>
#include <distill/loss/adaptive_kl.hpp>
#include <distill/loss/corrected_kl.hpp>
#include <distill/loss/decoupled_kl.hpp>
#include <distill/loss/standardized_kl.hpp>
#include <distill/loss/taid_kl.hpp>
#include <distill/view/matrix_view.hpp>
#include <limits>
#include <vector>

// Catch2 and libtorch both define CHECK.
#undef CHECK
#include <torch/torch.h>
#undef CHECK
#define CHECK(...) INTERNAL_CATCH_TEST("CHECK", Catch::ResultDisposition::ContinueOnFailure, __VA_ARGS__)

#include "support/random_logits.hpp"

using namespace distill;
using support::logit_pair;

namespace {

constexpr std::size_t rows = 12, classes = 40;
constexpr double temperature = 2;

const std::vector<std::int64_t>& labels() {
  static const std::vector<std::int64_t> result = [] {
    std::vector<std::int64_t> values(rows);
    for (std::size_t row = 0; row < rows; ++row) values[row] = static_cast<std::int64_t>(row * 7 % classes);
    return values;
  }();
  return result;
}

at::Tensor tensor_of(const std::vector<double>& values) {
  return torch::tensor(values, torch::kDouble).reshape({static_cast<std::int64_t>(rows), -1});
}

at::Tensor is_label() { return at::one_hot(torch::tensor(labels(), torch::kLong), classes).to(torch::kBool); }

// Mean over rows of KL(p || q), times T².
at::Tensor kl(const at::Tensor& p, const at::Tensor& log_q) {
  return (at::xlogy(p, p) - p * log_q).sum(1).mean() * temperature * temperature;
}

// Against autograd through `theirs(student, teacher)`.
template <class L, class Theirs>
void check_agreement(const L& loss, Theirs theirs) {
  const logit_pair pair = support::independent_logits(rows, classes, 5, 2);
  std::vector<double> slopes(rows * classes);
  const double value = loss(matrix_view<const double>(pair.student.data(), rows, classes),
                            matrix_view<const double>(pair.teacher.data(), rows, classes),
                            matrix_view<double>(slopes.data(), rows, classes));
  const at::Tensor student = tensor_of(pair.student).set_requires_grad(true);
  const at::Tensor answer = theirs(student, tensor_of(pair.teacher));
  answer.backward();
  CHECK(value == Approx(answer.item<double>()).epsilon(1e-9));
  const at::Tensor gradient = student.grad().contiguous();
  for (std::size_t i = 0; i < slopes.size(); ++i)
    CHECK(slopes[i] == Approx(gradient.data_ptr<double>()[i]).epsilon(1e-7).margin(1e-10));
}

}  // namespace

TEST_CASE("libtorch agrees on decoupled_kl") {
  check_agreement(decoupled_kl{.labels = labels(), .alpha = 2, .beta = 3, .temperature = temperature},
                  [](const at::Tensor& z, const at::Tensor& t) {
                    const at::Tensor own = is_label();
                    const auto parts = [&](const at::Tensor& x) {
                      const at::Tensor p = (x / temperature).softmax(1);
                      const at::Tensor label = (p * own).sum(1, true);
                      return at::cat({label, 1 - label}, 1);
                    };
                    const double masked = -1e300;  // infinity would be NaN in the derivative
                    const at::Tensor others = (t / temperature).masked_fill(own, masked).softmax(1);
                    const at::Tensor log_others = (z / temperature).masked_fill(own, masked).log_softmax(1);
                    const at::Tensor nontarget = kl(others, log_others.masked_fill(own, 0));
                    return 2 * kl(parts(t), parts(z).log()) + 3 * nontarget;
                  });
}

TEST_CASE("libtorch agrees on standardized_kl") {
  check_agreement(standardized_kl{.temperature = temperature}, [](const at::Tensor& z, const at::Tensor& t) {
    const auto standardized = [](const at::Tensor& x) {
      return (x - x.mean(1, true)) / (x.std(1, true, true) + 1e-7) / temperature;
    };
    return kl(standardized(t).softmax(1), standardized(z).log_softmax(1));
  });
}

TEST_CASE("libtorch agrees on adaptive_kl") {
  check_agreement(adaptive_kl{.temperature = temperature}, [](const at::Tensor& z, const at::Tensor& t) {
    const at::Tensor p = (t / temperature).softmax(1), log_p = (t / temperature).log_softmax(1);
    const at::Tensor q = (z / temperature).softmax(1), log_q = (z / temperature).log_softmax(1);
    const auto [sorted, order] = p.sort(1, true);
    const at::Tensor before = sorted.cumsum(1) - sorted;
    const at::Tensor gap = (p - q).abs().gather(1, order).detach();
    const at::Tensor head = (gap * (before < 0.5)).sum(1) / gap.sum(1);
    const at::Tensor forward = (p * (log_p - log_q)).sum(1), reverse = (q * (log_q - log_p)).sum(1);
    return (head * forward + (1 - head) * reverse).mean() * temperature * temperature;
  });
}

TEST_CASE("libtorch agrees on taid_kl") {
  check_agreement(taid_kl{.temperature = temperature, .interpolation = 0.3},
                  [](const at::Tensor& z, const at::Tensor& t) {
                    const at::Tensor target = ((0.7 * z.detach() + 0.3 * t) / temperature).softmax(1);
                    return kl(target, (z / temperature).log_softmax(1));
                  });
}

TEST_CASE("libtorch agrees on corrected_kl") {
  check_agreement(corrected_kl{.labels = labels(), .threshold = 0.3, .temperature = temperature},
                  [](const at::Tensor& z, const at::Tensor& t) {
                    const at::Tensor own = is_label(), p = (t / temperature).softmax(1);
                    const at::Tensor label = (p * own).sum(1, true),
                                     largest = std::get<0>(p.masked_fill(own, 0).max(1, true));
                    const at::Tensor share = ((largest - label + 0.3) / (1 + largest - label)).clamp_min(0);
                    return kl((1 - share) * p + share * own, (z / temperature).log_softmax(1));
                  });
}
