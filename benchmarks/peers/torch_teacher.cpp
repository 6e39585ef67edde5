#include <cmath>

#include "peers/peers.hpp"
#include "peers/torch_eager.hpp"

namespace benchmarks {
namespace {

constexpr double temperature = 2.0;

at::Tensor mean_of_probabilities(const at::Tensor& a, const at::Tensor& b) {
  return ((at::softmax(a / temperature, 1) + at::softmax(b / temperature, 1)) / 2).log();
}
at::Tensor mean_of_log_probabilities(const at::Tensor& a, const at::Tensor& b) {
  return at::log_softmax((a + b) / (2 * temperature), 1);
}
at::Tensor mean_of_logits(const at::Tensor& a, const at::Tensor& b) { return (a + b) / 2; }

at::Tensor entropy(const at::Tensor& logits, double at_temperature) {
  const auto log_p = at::log_softmax(logits / at_temperature, 1);
  return -(log_p.exp() * log_p).sum(1);
}
at::Tensor divergence(const at::Tensor& student, const at::Tensor& teacher) {
  const auto log_p = at::log_softmax(teacher, 1), log_q = at::log_softmax(student, 1);
  return (log_p.exp() * (log_p - log_q)).sum(1);
}
at::Tensor ea_kd_weight(const at::Tensor& student, const at::Tensor& teacher) {
  const auto t = entropy(teacher, 3), s = entropy(student, 3);
  return (t + t * s / std::log(static_cast<double>(student.size(1)))) / 2;
}

}  // namespace

peer_list<float> torch_teacher_means() {
  return {torch_function("torch_probabilities", oracle::mean_of_probabilities(2), mean_of_probabilities),
          torch_function("torch_log_probabilities", oracle::mean_of_log_probabilities(2),
                         mean_of_log_probabilities),
          torch_function("torch_logits", oracle::mean_of_logits(), mean_of_logits)};
}

peer_list<float> torch_teacher_measures() {
  return {torch_function("torch_log_sum_exp", oracle::log_sum_exp(),
                         [](const at::Tensor& z, const at::Tensor&) { return at::logsumexp(z, 1); }),
          torch_function("torch_entropy", oracle::entropy(),
                         [](const at::Tensor& z, const at::Tensor&) { return entropy(z, 1); }),
          torch_function("torch_divergence", oracle::row_divergence(), divergence),
          torch_function("torch_ea_kd_weight", oracle::ea_kd_weight(3), ea_kd_weight)};
}

}  // namespace benchmarks
