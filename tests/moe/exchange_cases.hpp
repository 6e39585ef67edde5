// Dispatch, combine and their gradients with guarded memory.
#pragma once

#include <distill/moe/token_exchange.hpp>

#include "moe/routed_batch.hpp"
#include "support/guarded_matrix.hpp"

namespace exchange_cases {

using namespace routed_batch;
using support::guarded_matrix;
using support::layout;

inline std::vector<double> normal_values(std::size_t count, std::uint64_t seed) {
  support::random_source random(seed);
  std::vector<double> values(count);
  for (double& v : values) v = random.normal();
  return values;
}

template <class T>
std::vector<double> elements(const guarded_matrix<T>& m) {
  std::vector<double> values(m.rows() * m.classes());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = m.at(i / m.classes(), i % m.classes());
  return values;
}

/// A sorted batch with padding, its tokens and its experts' rows of random numbers.
template <class Row, class Token = Row>
struct exchange {
  batch b;
  std::size_t width;
  dispatch_oracle::order expected_order;
  stored_order order;
  stored_routing<float> routing;
  guarded_matrix<Row> rows, row_output;
  guarded_matrix<Token> tokens, token_output;
  std::vector<float> slopes;

  exchange(const batch& of, std::size_t columns, std::size_t block, layout how = layout::compact,
           std::size_t offset = 0)
      : b(of),
        width(columns),
        expected_order(dispatch_oracle::sorted(b, block)),
        order(b, expected_order.tokens.size()),
        routing(b),
        rows(row_count(), columns, how, offset),
        row_output(row_count(), columns, how, offset + 1),
        tokens(b.tokens, columns, how, offset),
        token_output(b.tokens, columns, how, 2 * offset + 1),
        slopes(b.ids.size(), 99) {
    rows.set(normal_values(row_count() * width, 5));
    tokens.set(normal_values(b.tokens * width, 6));
    row_output.fill(77);
    token_output.fill(77);
    sort(b, order, {.block_size = block});
  }

  std::size_t row_count() const { return expected_order.tokens.size() + 1; }  // one more than the order has
  distill::matrix_view<float> slope_view() { return {slopes.data(), b.tokens, b.k}; }
};

}  // namespace exchange_cases
