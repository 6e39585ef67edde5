// libtorch agrees with every loss on logits: values and gradients.
#include "interop/torch_agreement.hpp"
// after Catch2 is settled
#include <distill/loss/alpha_beta.hpp>
#include <distill/loss/correlation.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/divergence.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/jensen_shannon.hpp>
#include <distill/loss/logit_mse.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/loss/skewed_forward_kl.hpp>
#include <distill/loss/skewed_reverse_kl.hpp>
#include <distill/loss/soft_cross_entropy.hpp>
#include <distill/loss/total_variation.hpp>

using namespace distill;
using namespace torch_agreement;

namespace {

constexpr double student_temperature = 2, teacher_temperature = 3;

at::Tensor probabilities(const at::Tensor& x, double temperature) { return at::softmax(x / temperature, 1); }
at::Tensor divergence_of(const at::Tensor& a, const at::Tensor& b) {
  return (a * (a.log() - b.log())).sum(1);
}

/// Rows of `formula(p, q)` times the product of the temperatures.
function rows_of(std::function<at::Tensor(const at::Tensor& p, const at::Tensor& q)> formula) {
  return [=](const at::Tensor& student, const at::Tensor& teacher) {
    return formula(probabilities(teacher, teacher_temperature), probabilities(student, student_temperature)) *
           (student_temperature * teacher_temperature);
  };
}

/// The loss with every reduction.
template <class L>
void check_loss(const L& loss, const function& theirs) {
  for (const reduction how : {reduction::none, reduction::sum, reduction::batch_mean, reduction::mean})
    check_matrices(
        to_string(loss) + " reduction " + std::to_string(static_cast<int>(how)),
        [&](const at::Tensor& student, const at::Tensor& teacher) {
          return torch_loss(loss, student, teacher, {.reduction = how});
        },
        [&](const at::Tensor& student, const at::Tensor& teacher) {
          const at::Tensor rows = theirs(student, teacher);
          if (how == reduction::none) return rows;
          if (how == reduction::sum) return rows.sum();
          return how == reduction::batch_mean ? rows.mean()
                                              : rows.mean() / static_cast<double>(student.size(1));
        });
}

/// Σ (q - p)² / p.
struct pearson_chi2 {
  template <class T>
  T value(T p, T q) const {
    return (q - p) * (q - p) / p;
  }
  template <class T>
  T slope(T p, T q) const {
    return 2 * (q - p) / p;
  }
};

}  // namespace

TEST_CASE("libtorch agrees on divergences") {
  check_loss(forward_kl{.temperature = student_temperature, .teacher_temperature = teacher_temperature},
             rows_of([](const at::Tensor& p, const at::Tensor& q) { return divergence_of(p, q); }));
  check_loss(reverse_kl{.temperature = student_temperature, .teacher_temperature = teacher_temperature},
             rows_of([](const at::Tensor& p, const at::Tensor& q) { return divergence_of(q, p); }));
  check_loss(
      soft_cross_entropy{.temperature = student_temperature, .teacher_temperature = teacher_temperature},
      rows_of([](const at::Tensor& p, const at::Tensor& q) { return -(p * q.log()).sum(1); }));
  check_loss(total_variation{.temperature = student_temperature, .teacher_temperature = teacher_temperature},
             rows_of([](const at::Tensor& p, const at::Tensor& q) { return (p - q).abs().sum(1) / 2; }));
}

TEST_CASE("libtorch agrees on mixtures and powers") {
  check_loss(
      jensen_shannon{
          .temperature = student_temperature, .teacher_temperature = teacher_temperature, .beta = 0.3},
      rows_of([](const at::Tensor& p, const at::Tensor& q) {
        const at::Tensor m = 0.3 * p + 0.7 * q;
        return 0.3 * divergence_of(p, m) + 0.7 * divergence_of(q, m);
      }));
  check_loss(
      skewed_forward_kl{
          .temperature = student_temperature, .teacher_temperature = teacher_temperature, .alpha = 0.2},
      rows_of([](const at::Tensor& p, const at::Tensor& q) { return divergence_of(p, 0.2 * p + 0.8 * q); }));
  check_loss(
      skewed_reverse_kl{
          .temperature = student_temperature, .teacher_temperature = teacher_temperature, .alpha = 0.2},
      rows_of([](const at::Tensor& p, const at::Tensor& q) { return divergence_of(q, 0.8 * p + 0.2 * q); }));
  check_loss(alpha_beta{.temperature = student_temperature,
                        .teacher_temperature = teacher_temperature,
                        .alpha = 0.4,
                        .beta = 0.8},
             rows_of([](const at::Tensor& p, const at::Tensor& q) {
               const at::Tensor both = p.pow(0.4) * q.pow(0.8) - (0.4 * p.pow(1.2) + 0.8 * q.pow(1.2)) / 1.2;
               return -both.sum(1) / 0.32;
             }));
}

TEST_CASE("libtorch agrees on the distance of logits and on a divergence of one's own") {
  check_loss(logit_mse{}, [](const at::Tensor& s, const at::Tensor& t) { return (s - t).square().sum(1); });
  const divergence<pearson_chi2> own{.temperature = student_temperature,
                                     .teacher_temperature = teacher_temperature};
  check_matrices(
      "pearson", [&](const at::Tensor& s, const at::Tensor& t) { return torch_loss(own, s, t); },
      [](const at::Tensor& s, const at::Tensor& t) {
        return rows_of([](const at::Tensor& p, const at::Tensor& q) {
                 return ((q - p).square() / p).sum(1);
               })(s, t)
            .mean();
      });
}

TEST_CASE("libtorch agrees on labels, their smoothing and those that are ignored") {
  for (const at::ScalarType type : {at::kLong, at::kInt, at::kByte}) {
    const auto labels_for = [&](const at::Tensor& student) {
      return at::arange(student.size(0), at::kLong).mul(7).remainder(student.size(1)).to(type);
    };
    check_matrices(
        "cross_entropy",
        [&](const at::Tensor& student, const at::Tensor&) {
          const at::Tensor labels = labels_for(student);
          return torch_loss(
              cross_entropy{.labels = torch_labels(labels), .label_smoothing = 0.1, .ignore_index = 14},
              student);
        },
        [&](const at::Tensor& student, const at::Tensor&) {
          return at::cross_entropy_loss(student, labels_for(student).to(at::kLong), {}, at::Reduction::Mean,
                                        14, 0.1);
        });
  }
}

TEST_CASE("libtorch agrees on an objective with weighted rows") {
  const auto weights_for = [](const at::Tensor& student) {
    return at::arange(student.size(0), at::kFloat).mul(0.5).add(0.5).remainder(1.5);
  };
  check_matrices(
      "objective",
      [&](const at::Tensor& student, const at::Tensor& teacher) {
        const at::Tensor labels = at::zeros({student.size(0)}, at::kLong), weights = weights_for(student);
        const auto sum = 0.7 * forward_kl{.temperature = 5} +
                         0.3 * cross_entropy{.labels = torch_labels(labels)} + 0.01 * logit_mse{};
        return torch_loss(sum, student, teacher,
                          {.row_weights = torch_vector<float>(weights), .denominator = 5});
      },
      [&](const at::Tensor& student, const at::Tensor& teacher) {
        const at::Tensor labels = at::zeros({student.size(0)}, at::kLong);
        const at::Tensor kl = divergence_of(probabilities(teacher, 5), probabilities(student, 5)) * 25;
        const at::Tensor hard = at::cross_entropy_loss(student, labels, {}, at::Reduction::None);
        const at::Tensor rows = 0.7 * kl + 0.3 * hard + 0.01 * (student - teacher).square().sum(1);
        return (rows * weights_for(student)).sum() / 5;
      });
}

TEST_CASE("a correlation of weighted rows, and that it has no rows of its own") {
  // 1 - Pearson's correlation over a dimension, each place with its weight.
  const auto apart = [](const at::Tensor& a, const at::Tensor& b, const at::Tensor& weights, int dimension) {
    const at::Tensor total = weights.sum();
    const auto centred = [&](const at::Tensor& x) { return x - (x * weights).sum(dimension, true) / total; };
    const at::Tensor x = centred(a), y = centred(b);
    return 1 - (weights * x * y).sum(dimension) /
                   ((weights * x * x).sum(dimension) * (weights * y * y).sum(dimension)).sqrt();
  };
  const at::Tensor student = at::randn({6, 9}, at::kDouble), teacher = at::randn({6, 9}, at::kDouble);
  const at::Tensor weights = at::arange(6, at::kFloat) * 0.5 + 0.5;
  const at::Tensor ours = student.clone().requires_grad_(true), theirs = student.clone().requires_grad_(true);
  const at::Tensor value = torch_loss(correlation{.temperature = 2, .gamma = 3}, ours, teacher,
                                      {.row_weights = torch_vector<float>(weights)});
  const at::Tensor q = probabilities(theirs, 2), p = probabilities(teacher, 2), w = weights.to(at::kDouble);
  const at::Tensor by_rows = apart(q, p, at::ones({1, 9}, at::kDouble), 1);
  const at::Tensor by_classes = apart(q, p, w.unsqueeze(1), 0).mean();
  const at::Tensor expected = (4 * w * (by_rows + 3 * by_classes)).mean();
  value.backward();
  expected.backward();
  CHECK(difference(value.detach(), expected.detach()) < 1e-11);
  CHECK(difference(ours.grad(), theirs.grad()) < 1e-11);
  CHECK_THROWS_AS(torch_loss(correlation{}, ours, teacher, {.reduction = reduction::none}), parameter_error);
}

TEST_CASE("transposed, sliced and expanded students get the gradient of what they view") {
  const auto check = [](const function& view) {
    const at::Tensor memory = at::randn({12, 12}, at::kDouble), teacher = at::randn({5, 12}, at::kDouble);
    const at::Tensor ours = memory.clone().requires_grad_(true), theirs = memory.clone().requires_grad_(true);
    torch_loss(forward_kl{.temperature = 2}, view(ours, {}), view(teacher, {}).narrow(0, 0, 5))
        .mul(3)
        .backward();
    const at::Tensor p = probabilities(view(teacher, {}).narrow(0, 0, 5), 2),
                     q = probabilities(view(theirs, {}), 2);
    divergence_of(p, q).mean().mul(12).backward();
    CHECK(difference(ours.grad(), theirs.grad()) < 1e-12);
  };
  check([](const at::Tensor& x, const at::Tensor&) { return x.size(0) == 5 ? x : x.t().slice(0, 2, 7); });
  check([](const at::Tensor& x, const at::Tensor&) { return x.size(0) == 5 ? x : x.slice(0, 1, 11, 2); });
  check([](const at::Tensor& x, const at::Tensor&) { return x.narrow(0, 3, 1).expand({5, 12}); });
}
