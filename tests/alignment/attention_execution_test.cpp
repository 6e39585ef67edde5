// Who runs the rows leaves no trace; scratch is kept and bounded. This executable counts every allocation.
#include <catch2/catch.hpp>
#include <distill/alignment/relation.hpp>

#include "alignment/attention_cases.hpp"
#include "alignment/plain_product.hpp"
#include "support/block_executor.hpp"
#include "support/counted_allocations.hpp"

using namespace attention_cases;
using distill::attention_kl;
using distill::attention_options;
using distill::head_map;
using distill::queries_keys;
using distill::relation;
using support::allocations;

namespace {

struct bits {
  std::vector<unsigned char> bytes;
  template <class T>
  void add(const guarded_tensor<T>& x) {
    const auto more = x.bits();
    bytes.insert(bytes.end(), more.begin(), more.end());
  }
  void add(double value) {
    const auto* more = reinterpret_cast<const unsigned char*>(&value);
    bytes.insert(bytes.end(), more, more + sizeof value);
  }
  bool operator==(const bits&) const = default;
};

struct problem {
  static constexpr std::size_t batch = 2, heads = 4, queries = 70, keys = 75, width = 8;
  guarded_tensor<float> s{random_tensor(batch, heads, queries, keys, 1)},
      t{random_tensor(batch, 2 * heads, queries, keys, 2)}, g{batch, heads, queries, keys};
  guarded_tensor<float> q{random_tensor(batch, heads, queries, width, 3)},
      k{random_tensor(batch, 2, keys, width, 4)};
  guarded_tensor<float> tq{random_tensor(batch, heads, queries, width, 5)},
      tk{random_tensor(batch, heads, keys, width, 6)};
  guarded_tensor<float> dq{batch, heads, queries, width}, dk{batch, 2, keys, width};
  support::plain_product product;

  // All kinds of calls with the same options.
  bits run(attention_options options) {
    bits result;
    std::vector<double> rows(batch * heads * queries);
    result.add(attention_kl{.heads = head_map::mean()}(s.view(), t.view(), g.view(), options));
    result.add(g);
    result.add(distill::attention_mse{.heads = head_map::mean()}(s.view(), t.view(), g.view(), options));
    result.add(g);
    options.product = product;
    options.row_values = rows;
    result.add(attention_kl{}(queries_keys(q.view(), k.view()), queries_keys(tq.view(), tk.view()),
                              queries_keys(dq.view(), dk.view()), options));
    result.add(dq), result.add(dk);
    for (const double row : rows) result.add(row);
    return result;
  }
};

}  // namespace

TEST_CASE("attention: the executor leaves no trace") {
  problem task;
  for (const masks& mask : every_mask(problem::batch, problem::queries, problem::keys, 3)) {
    auto options = mask.options(problem::batch, problem::queries, problem::keys);
    const bits expected = task.run(options);
    for (const std::size_t workers : {std::size_t{1}, std::size_t{2}, std::size_t{5}})
      for (const std::size_t block : {std::size_t{1}, std::size_t{3}, std::size_t{50}}) {
        support::block_executor executor(workers, block);
        options.executor = executor;
        CAPTURE(mask.name, workers, block);
        CHECK(task.run(options) == expected);
        CHECK(executor.calls() == 3);
      }
  }
}

TEST_CASE("attention: a kept workspace allocates nothing, and may be the caller's memory") {
  problem task;
  for (const masks& mask : every_mask(problem::batch, problem::queries, problem::keys, 3)) {
    distill::workspace kept;
    auto options = mask.options(problem::batch, problem::queries, problem::keys);
    options.product = task.product;
    options.workspace = &kept;
    const auto calls = [&] {
      attention_kl{.heads = head_map::mean()}(task.s.view(), task.t.view(), task.g.view(), options);
      attention_kl{}(queries_keys(task.q.view(), task.k.view()), queries_keys(task.tq.view(), task.tk.view()),
                     queries_keys(task.dq.view(), task.dk.view()), options);
    };
    const attention_kl mean{.heads = head_map::mean()};
    calls();
    const std::size_t before = allocations;
    mean(task.s.view(), task.t.view(), task.g.view(), options);
    attention_kl{}(queries_keys(task.q.view(), task.k.view()), queries_keys(task.tq.view(), task.tk.view()),
                   queries_keys(task.dq.view(), task.dk.view()), options);
    CHECK(allocations == before);
    const auto expected = task.dq.bits();
    std::vector<std::byte> memory(kept.size() + 64);
    distill::workspace external(memory);
    options.workspace = &external;
    calls();
    CHECK(task.dq.bits() == expected);
  }
}

TEST_CASE("attention from queries and keys holds no map: at most 2 MiB at 2048 keys") {
  constexpr std::size_t keys = 2048, width = 2, heads = 12;
  const auto x = random_tensor(2, heads, keys, width, 1);
  guarded_tensor<float> q(x), dq(2, heads, keys, width), dk(2, heads, keys, width);
  const support::plain_product product;
  distill::workspace kept;
  attention_options options;
  options.product = product;
  options.workspace = &kept;
  attention_kl{}(queries_keys(q.view(), q.view()), queries_keys(q.view(), q.view(), 0.2),
                 queries_keys(dq.view(), dk.view()), options);
  CHECK(kept.size() <= std::size_t{2} << 20);
  CHECK(product.largest < keys * keys / 16);
  relation{}(q.view(), q.view(), dq.view(), options);
  CHECK(kept.size() <= std::size_t{2} << 20);
}
