// libtorch's threads as an executor, its products as a matrix_product.
#include "interop/torch_agreement.hpp"
// after Catch2 is settled
#include <algorithm>
#include <atomic>
#include <chrono>
#include <distill/loss/jensen_shannon.hpp>
#include <limits>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "alignment/plain_product.hpp"

using namespace distill;

namespace {

/// libtorch's number of threads, for a while.
struct threads {
  int before = at::get_num_threads();
  explicit threads(int number) { at::set_num_threads(number); }
  ~threads() { at::set_num_threads(before); }
};

}  // namespace

TEST_CASE("libtorch's threads visit every index exactly once") {
  for (const int number : {1, 2, 5}) {
    const threads now(number);
    const torch_executor executor;
    CHECK(executor.concurrency() == static_cast<std::size_t>(number));
    for (const std::size_t count : {0, 1, 7, 16, 1001})
      for (const std::size_t grain : {0, 1, 16, 100000}) {
        std::vector<std::atomic<int>> visits(count);
        std::atomic<std::size_t> in_flight{0}, most{0}, short_blocks{0};
        executor.for_each_block(count, grain, [&](std::size_t begin, std::size_t end) {
          const std::size_t mine = ++in_flight;
          std::size_t before = most;
          while (before < mine && !most.compare_exchange_weak(before, mine)) {
          }
          if (end - begin < grain && end != count) ++short_blocks;
          for (std::size_t i = begin; i < end; ++i) ++visits[i];
          --in_flight;
        });
        CHECK(std::all_of(visits.begin(), visits.end(), [](const auto& n) { return n == 1; }));
        CHECK(most <= executor.concurrency());
        CHECK(short_blocks == 0);
      }
  }
}

TEST_CASE("several of libtorch's threads take part") {
  const threads now(3);
  std::mutex mutex;
  std::set<std::thread::id> seen;
  torch_executor{}.for_each_block(3000, 1, [&](std::size_t, std::size_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    const std::lock_guard lock(mutex);
    seen.insert(std::this_thread::get_id());
  });
  CHECK(seen.size() > 1);
}

TEST_CASE("an exception reaches the caller, and calls nest on one thread") {
  const threads now(3);
  const torch_executor executor;
  const auto f = [](std::size_t begin, std::size_t end) {
    if (begin <= 500 && 500 < end) throw std::runtime_error("block");
  };
  CHECK_THROWS_WITH(executor.for_each_block(1000, 1, f), "block");
  std::atomic<std::size_t> visited{0}, widest{0};
  executor.for_each_block(20, 1, [&](std::size_t begin, std::size_t end) {
    widest = std::max<std::size_t>(widest, executor.concurrency());
    for (std::size_t i = begin; i < end; ++i)
      executor.for_each_block(30, 1, [&](std::size_t from, std::size_t to) { visited += to - from; });
  });
  CHECK(visited == 600);
  CHECK(widest == 1);
}

TEST_CASE("the number of libtorch's threads leaves the bits alone") {
  const at::Tensor student = at::randn({300, 70}), teacher = at::randn({300, 70});
  at::Tensor one = at::empty_like(student), many = at::empty_like(student);
  const auto call = [&](at::Tensor& gradient) {
    return jensen_shannon{}(torch_matrix(student), torch_matrix(teacher), torch_matrix(gradient),
                            {.executor = torch_executor{}});
  };
  const threads now(1);
  const double value = call(one);
  for (const int number : {2, 4, 7}) {
    at::set_num_threads(number);
    CHECK(call(many) == value);
    CHECK(at::equal(one, many));
  }
}

TEST_CASE("libtorch's products are products, in every orientation, and do not read what they overwrite") {
  const auto check = []<class T>(T) {
    constexpr std::size_t m = 5, k = 7, n = 4;
    const at::Tensor a = at::randn({m, k}, at::kDouble).to(c10::CppTypeToScalarType<T>::value);
    const at::Tensor b = at::randn({k, n}, at::kDouble).to(a.scalar_type());
    const at::Tensor left = a.t().contiguous(), right = b.t().contiguous();
    const auto data = [](const at::Tensor& x) { return x.template data_ptr<T>(); };
    for (const bool is_left : {false, true})
      for (const bool is_right : {false, true})
        for (const bool is_column : {false, true})
          for (const double beta : {0.0, 1.0, -0.5}) {
            std::vector<T> ours(m * n, beta == 0 ? std::numeric_limits<T>::quiet_NaN() : T(3)),
                plain(m * n, T(3));
            const auto run = [&](const auto& product, std::vector<T>& c) {
              product.multiply(
                  2,
                  is_left ? matrix_view<const T>(data(left), m, k, 1, m)
                          : matrix_view<const T>(data(a), m, k),
                  is_right ? matrix_view<const T>(data(right), k, n, 1, k)
                           : matrix_view<const T>(data(b), k, n),
                  beta, is_column ? matrix_view<T>(c.data(), m, n, 1, m) : matrix_view<T>(c.data(), m, n));
            };
            run(torch_product{}, ours);
            run(support::plain_product{}, plain);
            for (std::size_t i = 0; i < ours.size(); ++i)
              CHECK(ours[i] == Approx(plain[i]).epsilon(1e-5).margin(1e-5));
          }
  };
  check(1.0f);
  check(1.0);
  static_assert(matrix_product<const torch_product>);
}
