#include <algorithm>
#include <cmath>
#include <cstring>
#include <distill/moe/token_exchange.hpp>
#include <memory>
#include <stdexcept>

#include "harness/suite.hpp"
#include "moe/routed_tokens.hpp"
#include "peers/distill.hpp"
#include "peers/peers.hpp"

// Sorting a routing by expert; rows to their experts and back; against libtorch and against the same bytes in
// order.
namespace {

using namespace benchmarks;

/// A routing in expert order.
struct sorted_tokens {
  routed_tokens routed;
  std::vector<std::int64_t> offsets, rows;
  std::vector<std::int32_t> tokens, slots;
  distill::workspace workspace;
  std::vector<float> slopes;

  explicit sorted_tokens(routed_tokens from)
      : routed(std::move(from)),
        offsets(routed.experts + 1),
        rows(routed.ids.size()),
        tokens(routed.ids.size()),
        slots(routed.ids.size()),
        slopes(routed.ids.size()) {
    sort();
  }
  distill::expert_order order() {
    return {offsets, tokens, slots, distill::matrix_view<std::int64_t>(rows.data(), routed.tokens, routed.k)};
  }
  void sort() {
    distill::order_by_expert({routed.ids.data(), routed.tokens, routed.k}, order(),
                             {.workspace = &workspace});
  }
  auto weights() { return distill::matrix_view<float>(routed.weights.data(), routed.tokens, routed.k); }
  auto weight_gradient() { return distill::matrix_view<float>(slopes.data(), routed.tokens, routed.k); }
};

/// `use(state, expert rows, tokens, output memory, width)`.
template <class Use>
peer<float> exchange(std::string name, Use use) {
  return {std::move(name), [=](problem<float>& task, int) -> contender {
            const auto state = std::make_shared<sorted_tokens>(routed_tokens::to_exchange(task.extent));
            const std::size_t width = task.extent.columns;
            const auto call = [=, &task] {
              use(*state, distill::matrix_view<float>(task.student.data(), task.extent.rows, width),
                  distill::matrix_view<float>(task.teacher.data(), state->routed.tokens, width),
                  task.output.data());
              return 0.0;
            };
            return {call, oracle::nothing(), {}};
          }};
}

peer_list<float> order() {
  return {{"distill", [](problem<float>& task, int) -> contender {
             const auto state = std::make_shared<sorted_tokens>(routed_tokens::to_order(task.extent));
             const auto call = [=] {
               state->sort();
               return 0.0;
             };
             const auto publish = [=, &task] {
               std::copy_n(state->tokens.begin(), std::min(task.output.size(), state->tokens.size()),
                           task.output.begin());
             };
             return {call, oracle::nothing(), publish};
           }}};
}

using matrix = distill::matrix_view<float>;

peer_list<float> dispatch() {
  return {exchange("distill",
                   [](sorted_tokens& s, matrix rows, matrix tokens, float* out) {
                     distill::dispatch_tokens(tokens, s.order(), matrix(out, rows.rows(), rows.columns()));
                   }),
          exchange("floor_copy", [](sorted_tokens& s, matrix rows, matrix tokens, float* out) {
            const std::size_t width = rows.columns();
            for (std::size_t i = 0; i < rows.rows(); ++i)
              std::memcpy(out + i * width, &tokens(i / s.routed.k, 0), width * sizeof(float));
          })};
}

peer_list<float> combine() {
  return {exchange("distill",
                   [](sorted_tokens& s, matrix rows, matrix tokens, float* out) {
                     distill::combine_tokens(rows, s.weights(), s.order(),
                                             matrix(out, tokens.rows(), tokens.columns()));
                   }),
          exchange("floor_read", [](sorted_tokens& s, matrix rows, matrix tokens, float* out) {
            constexpr std::size_t block = 64;
            const std::size_t width = rows.columns();
            for (std::size_t t = 0; t < tokens.rows(); ++t) {
              float sums[block] = {};
              for (const float* p = &rows(t * s.routed.k, 0);
                   p < &rows(t * s.routed.k, 0) + s.routed.k * width; p += block)
                for (std::size_t i = 0; i < block; ++i) sums[i] += p[i];
              for (std::size_t c = 0; c < width; c += block)
                std::memcpy(out + t * width + c, sums, sizeof sums);
            }
          })};
}

peer_list<float> combine_backward() {
  return {exchange("distill",
                   [](sorted_tokens& s, matrix rows, matrix tokens, float* out) {
                     distill::combine_tokens_backward(tokens, rows, s.weights(), s.order(),
                                                      matrix(out, rows.rows(), rows.columns()),
                                                      s.weight_gradient());
                   }),
          exchange("floor_copy", [](sorted_tokens&, matrix rows, matrix, float* out) {
            std::memcpy(out, rows.data_handle(), rows.rows() * rows.columns() * sizeof(float));
          })};
}

/// The answers of the first contender and of those after it, without the floors, on a small problem.
void require_equal(const char* task, const shape& extent, const peer_list<float>& peers) {
  problem<float> small(extent, data_set::independent);
  aligned_vector<float> expected;
  for (const auto& each : peers) {
    if (each.name.starts_with("floor")) continue;
    std::fill(small.output.begin(), small.output.end(), 0.0F);
    const contender bound = each.bind(small, 1);
    bound.call();
    if (bound.publish) bound.publish();
    if (expected.empty()) expected = small.output;
    for (std::size_t i = 0; i < expected.size(); ++i)
      if (!(std::abs(small.output[i] - expected[i]) <= 1e-5F * (1 + std::abs(expected[i]))))
        throw std::runtime_error(std::string(task) + ": " + each.name + " has another answer");
  }
}

void fill(suite& contenders) {
  const auto orders = order() + torch_expert_order();
  require_equal("expert_order", {128, 64}, orders);
  for (const std::size_t experts : {8, 64, 128, 256})
    contenders.add({.task = "expert_order", .extent = {4096, experts}}, orders);

  const auto add = [&](const char* task, const peer_list<float>& peers, const peer_list<float>& other = {}) {
    require_equal(task, {1024, 128}, peers);
    for (const shape& extent : {shape{2048, 512}, shape{32768, 512}, shape{8192, 4096}})
      contenders.add({.task = task, .extent = extent, .checked_elements = check_everything}, peers + other);
  };
  add("dispatch_rows", dispatch() + torch_dispatch());
  add("combine_rows", combine() + torch_combine(), torch_index_add());
  add("combine_rows_backward", combine_backward() + torch_combine_backward());
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
