#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <memory>

#include "moe/routed_tokens.hpp"
#include "peers/peers.hpp"

namespace benchmarks {
namespace {

void use_threads(int threads) {
  if (at::get_num_threads() != threads) at::set_num_threads(threads);
}

at::Tensor matrix_over(aligned_vector<float>& memory, std::size_t rows, std::size_t columns) {
  return at::from_blob(memory.data(), {static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns)},
                       at::kFloat);
}

at::Tensor flat_ids(const routed_tokens& routed) {
  return at::tensor(at::ArrayRef<std::int32_t>(routed.ids)).to(at::kLong);
}

/// Everything prepared: the token of each assignment in expert order, and its weight.
struct tensors {
  at::Tensor token_of_row, weight_of_row, expert_rows, tokens, row_output, token_output;

  explicit tensors(problem<float>& task) {
    const routed_tokens routed = routed_tokens::to_exchange(task.extent);
    const auto order = at::argsort(flat_ids(routed), true, 0, false);
    token_of_row = at::floor_divide(order, static_cast<std::int64_t>(routed.k));
    weight_of_row = at::tensor(at::ArrayRef<float>(routed.weights)).index({order}).unsqueeze(1);
    expert_rows = matrix_over(task.student, task.extent.rows, task.extent.columns);
    tokens = matrix_over(task.teacher, routed.tokens, task.extent.columns);
    row_output = matrix_over(task.output, task.extent.rows, task.extent.columns);
    token_output = matrix_over(task.output, routed.tokens, task.extent.columns);
  }
};

template <class Call>
peer<float> exchange(std::string name, Call call) {
  return {std::move(name), [=](problem<float>& task, int threads) -> contender {
            const auto all = std::make_shared<tensors>(task);
            return {[=] {
                      use_threads(threads);
                      const at::NoGradGuard no_gradient;
                      call(*all);
                      return 0.0;
                    },
                    oracle::nothing(),
                    {}};
          }};
}

contender order(problem<float>& task, int threads) {
  const routed_tokens routed = routed_tokens::to_order(task.extent);
  const auto ids = flat_ids(routed);
  const auto sorted = std::make_shared<std::pair<at::Tensor, at::Tensor>>();
  const auto call = [=] {
    use_threads(threads);
    sorted->first = at::argsort(ids, true, 0, false);
    sorted->second = at::bincount(ids, {}, static_cast<std::int64_t>(routed.experts));
    return 0.0;
  };
  const auto publish = [=, &task] {
    const auto tokens = at::floor_divide(sorted->first, static_cast<std::int64_t>(routed.k)).to(at::kFloat);
    const auto count = std::min(task.output.size(), static_cast<std::size_t>(tokens.numel()));
    std::copy_n(tokens.data_ptr<float>(), count, task.output.begin());
  };
  return {call, oracle::nothing(), publish};
}

}  // namespace

peer_list<float> torch_expert_order() { return {{"torch", order}}; }

peer_list<float> torch_dispatch() {
  return {
      exchange("torch", [](tensors& t) { at::index_select_out(t.row_output, t.tokens, 0, t.token_of_row); })};
}

peer_list<float> torch_combine() {
  return {exchange("torch", [](tensors& t) {
    t.token_output.zero_().index_add_(0, t.token_of_row, t.expert_rows * t.weight_of_row);
  })};
}

peer_list<float> torch_index_add() {
  return {exchange("torch_index_add",
                   [](tensors& t) { t.token_output.index_add_(0, t.token_of_row, t.expert_rows); })};
}

peer_list<float> torch_combine_backward() {
  return {exchange("torch", [](tensors& t) {
    at::index_select_out(t.row_output, t.tokens, 0, t.token_of_row);
    const auto slopes = (t.row_output * t.expert_rows).sum(1);
    t.row_output.mul_(t.weight_of_row);
  })};
}

}  // namespace benchmarks
