#include <array>
#include <xtensor/xadapt.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xnoalias.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>

#include "peers/peers.hpp"

namespace benchmarks {
namespace {

constexpr float temperature = 2.0F;

template <class Logits>
xt::xtensor<float, 2> log_softmax(const Logits& logits) {
  const xt::xtensor<float, 2> scaled = logits / temperature;
  const xt::xtensor<float, 2> shifted =
      scaled - xt::amax(scaled, {1}, xt::keep_dims | xt::evaluation_strategy::immediate);
  const xt::xtensor<float, 2> log_sum =
      xt::log(xt::sum(xt::exp(shifted), {1}, xt::keep_dims | xt::evaluation_strategy::immediate));
  return shifted - log_sum;
}

/// Array expressions as one writes them from the formula, with xsimd.
contender forward_kl(problem<float>& task, int) {
  const std::array<std::size_t, 2> extents{task.extent.rows, task.extent.columns};
  const auto over = [&](aligned_vector<float>& memory) {
    return xt::adapt(memory.data(), memory.size(), xt::no_ownership(), extents);
  };
  const auto rows = static_cast<float>(task.extent.rows);
  const auto call = [=, student = over(task.student), teacher = over(task.teacher),
                     gradient = over(task.output)]() mutable {
    const xt::xtensor<float, 2> log_q = log_softmax(student);
    const xt::xtensor<float, 2> log_p = log_softmax(teacher);
    const xt::xtensor<float, 2> p = xt::exp(log_p);
    xt::noalias(gradient) = (xt::exp(log_q) - p) * (temperature / rows);
    const float value = xt::sum(p * (log_p - log_q), xt::evaluation_strategy::immediate)();
    return static_cast<double>(value * temperature * temperature / rows);
  };
  return {call, oracle::forward_kl(temperature), {}};
}

}  // namespace

peer_list<float> xtensor_forward_kl() { return {{"xtensor", forward_kl}}; }

}  // namespace benchmarks
