#include <Eigen/Core>

#include "peers/peers.hpp"

namespace benchmarks {
namespace {

constexpr float temperature = 2.0F;

/// Array expressions as one writes them from the formula.
template <int Order>
contender forward_kl(problem<float>& task) {
  using array = Eigen::Array<float, Eigen::Dynamic, Eigen::Dynamic, Order>;
  const auto rows = static_cast<Eigen::Index>(task.extent.rows);
  const auto columns = static_cast<Eigen::Index>(task.extent.columns);
  const Eigen::Map<const array> student(task.student.data(), rows, columns);
  const Eigen::Map<const array> teacher(task.teacher.data(), rows, columns);
  Eigen::Map<array> gradient(task.output.data(), rows, columns);
  const auto log_softmax = [](const array& logits) -> array {
    const array shifted = logits.colwise() - logits.rowwise().maxCoeff();
    return shifted.colwise() - shifted.exp().rowwise().sum().log();
  };
  const auto call = [=]() mutable {
    const array log_q = log_softmax(student / temperature);
    const array log_p = log_softmax(teacher / temperature);
    const array p = log_p.exp();
    gradient = (log_q.exp() - p) * (temperature / static_cast<float>(rows));
    const float value = (p * (log_p - log_q)).sum();
    return static_cast<double>(value) * temperature * temperature / static_cast<double>(rows);
  };
  return {call, oracle::forward_kl(temperature), {}};
}

}  // namespace

peer_list<float> eigen_forward_kl() {
  return {{"eigen", [](problem<float>& task, int) {
             return task.extent.order == storage_order::rows ? forward_kl<Eigen::RowMajor>(task)
                                                             : forward_kl<Eigen::ColMajor>(task);
           }}};
}

}  // namespace benchmarks
