#pragma once

#include <distill/interop/torch_gate.hpp>
#include <distill/interop/torch_gradient.hpp>
#include <distill/interop/torch_view.hpp>
#include <distill/moe/count_statistics.hpp>
#include <distill/moe/gshard_loss.hpp>
#include <distill/moe/importance_loss.hpp>
#include <distill/moe/router_z_loss.hpp>
#include <distill/moe/sequence_balance_loss.hpp>
#include <distill/moe/switch_loss.hpp>

namespace distill::inline DISTILL_ABI {

namespace detail {

inline void require_counted(const torch_routing& to, const balance_options& options) {
  if (!to.probability_sums.defined())
    throw parameter_error(
        "torch_loss: nothing was counted for the routing; torch_gate needs router_losses = true");
  if (options.accumulate) throw parameter_error("torch_loss: autograd accumulates; accumulate must be false");
}

/// The statistics of all sequences together, of tensors that outlive them.
inline router_statistics statistics_of(const torch_routing& to, const at::Tensor& assignments,
                                       const at::Tensor& sums) {
  const char* const name = "torch_loss";
  return {.assignments = vector_of<std::int64_t>({assignments, name, "assignments"}),
          .probability_sums = vector_of<double>({sums, name, "probability_sums"}),
          .tokens = to.counted.sum().item<std::int64_t>(),
          .bad_rows = to.bad_rows,
          .squared_log_sum_exp = to.squared_log_sum_exp.item<double>()};
}

/// `evaluate(statistics, slopes)` as a function of the sums of probabilities.
template <class Evaluate>
at::Tensor loss_of_sums(const torch_routing& to, const balance_options& options, Evaluate evaluate) {
  require_counted(to, options);
  const at::Tensor assignments = to.assignments.sum(0), sums = to.probability_sums.sum(0);
  const router_statistics statistics = statistics_of(to, assignments, sums);
  return differentiable({sums}, {}, nullptr, [&](const auto& gradients, const at::Tensor&) {
    vector_view<double> slopes;
    if (!gradients.empty()) slopes = vector_of<double>({gradients[0], "torch_loss", "slopes"});
    return evaluate(statistics, slopes);
  });
}

inline std::int64_t slots_of(const torch_routing& to, std::int64_t given) {
  return given == 0 ? to.experts.size(1) : given;
}

template <class T>
at::Tensor importance_of(const importance_loss& loss, const torch_routing& to, std::size_t experts) {
  return differentiable({to.weights}, {}, nullptr, [&](const auto& gradients, const at::Tensor&) {
    const char* const name = "torch_loss";
    const auto ids = exact_matrix<std::int32_t>({to.experts, name, "experts"});
    std::vector<double> sums(experts), slopes(gradients.empty() ? 0 : experts);
    sum_weights(routing<T>{ids, exact_matrix<T>({to.weights, name, "weights"})}, sums);
    const double value = loss(sums, slopes);
    if (!gradients.empty()) spread_slopes(ids, slopes, exact_matrix<T>({gradients[0], name, "slopes"}));
    return value;
  });
}

}  // namespace detail

/// The router's losses on what torch_gate has counted with `router_losses`, differentiable by libtorch:
/// `torch_loss(switch_loss{.coefficient = 0.01}, routing)`.
///
/// A Double of rank 0. The gradient goes to the routing's sums, and from there, with that of the weights and
/// in one pass, to the logits. With `sequences` the batch is all of them together; sequence_balance_loss is
/// of each. experts_per_token may be left at 0: the routing's k. `load`: counts over more than this batch,
/// see expert_load. Options: balance_options but for `accumulate`. Throws: what the loss throws;
/// parameter_error for a routing without counts; backward() with create_graph parameter_error.
inline at::Tensor torch_loss(const switch_loss& loss, const torch_routing& to, const expert_load& load,
                             const balance_options& options = {}) {
  return detail::loss_of_sums(to, options, [&](const router_statistics& s, vector_view<double> slopes) {
    return switch_loss{loss.coefficient, detail::slots_of(to, loss.experts_per_token)}(s, load, slopes,
                                                                                       options);
  });
}
inline at::Tensor torch_loss(const switch_loss& loss, const torch_routing& to,
                             const balance_options& options = {}) {
  return detail::loss_of_sums(to, options, [&](const router_statistics& s, vector_view<double> slopes) {
    return switch_loss{loss.coefficient, detail::slots_of(to, loss.experts_per_token)}(s, slopes, options);
  });
}

/// The load of first choices: given, or that of the routing.
inline at::Tensor torch_loss(const gshard_loss& loss, const torch_routing& to, const expert_load& load,
                             const balance_options& options = {}) {
  return detail::loss_of_sums(to, options, [&](const router_statistics& s, vector_view<double> slopes) {
    return loss(s, load, slopes, options);
  });
}
inline at::Tensor torch_loss(const gshard_loss& loss, const torch_routing& to,
                             const balance_options& options = {}) {
  return detail::loss_of_sums(to, options, [&](const router_statistics& s, vector_view<double> slopes) {
    std::vector<std::int64_t> counts(s.assignments.size());
    count_assignments(detail::exact_matrix<const std::int32_t>({to.experts, "torch_loss", "experts"}), counts,
                      1);
    return loss(s, expert_load{counts, s.tokens, s.bad_rows}, slopes, options);
  });
}

/// Of each of the sequences that torch_gate_options::sequences told apart.
inline at::Tensor torch_loss(const sequence_balance_loss& loss, const torch_routing& to,
                             const balance_options& options = {}) {
  detail::require_counted(to, options);
  const char* const name = "torch_loss";
  const sequence_statistics each{
      detail::exact_matrix<std::int64_t>({to.assignments, name, "assignments"}),
      detail::exact_matrix<double>({to.probability_sums, name, "probability_sums"}),
      detail::vector_of<std::int64_t>({to.counted, name, "counted"})};
  const sequence_balance_loss with_slots{loss.coefficient, detail::slots_of(to, loss.experts_per_token)};
  return detail::differentiable({to.probability_sums}, {}, nullptr,
                                [&](const auto& gradients, const at::Tensor&) {
                                  matrix_view<double> slopes;
                                  if (!gradients.empty())
                                    slopes = detail::exact_matrix<double>({gradients[0], name, "slopes"});
                                  return with_slots(each, slopes, options);
                                });
}

inline at::Tensor torch_loss(const router_z_loss& loss, const torch_routing& to,
                             const balance_options& options = {}) {
  detail::require_counted(to, options);
  const router_statistics s{.tokens = to.counted.sum().item<std::int64_t>(),
                            .bad_rows = to.bad_rows,
                            .squared_log_sum_exp = to.squared_log_sum_exp.item<double>()};
  return detail::differentiable({to.squared_log_sum_exp}, {}, nullptr,
                                [&](const auto& gradients, const at::Tensor&) {
                                  if (!gradients.empty()) gradients[0].fill_(loss.slope(s, options));
                                  return loss(s, options);
                                });
}

/// Of the routing's weights, whose type the result has; needs no counts but their number of experts.
inline at::Tensor torch_loss(const importance_loss& loss, const torch_routing& to) {
  detail::require_counted(to, {});
  const auto experts = static_cast<std::size_t>(to.assignments.size(1));
  return to.weights.scalar_type() == at::kDouble ? detail::importance_of<double>(loss, to, experts)
                                                 : detail::importance_of<float>(loss, to, experts);
}

}  // namespace distill::inline DISTILL_ABI
