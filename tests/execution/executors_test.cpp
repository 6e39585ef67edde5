// Every executor visits every index exactly once, passes exceptions on, nests, and leaves the results' bits
// alone.
#include <catch2/catch.hpp>

#include <atomic>
#include <set>
#include <stdexcept>
#include <thread>

#include "execution/every_executor.hpp"

using namespace executors_under_test;

TEMPLATE_LIST_TEST_CASE("every index is visited exactly once", "", every_executor) {
  for (const std::size_t workers : {1, 2, 3, 7}) {
    TestType made(workers);
    CHECK(made.get().concurrency() >= 1);
    for (const std::size_t count : {0, 1, 2, 3, 7, 16, 17, 100, 1001, 40000})
      for (const std::size_t grain : {0, 1, 2, 16, 1000, 100000}) {
        std::vector<std::atomic<int>> visits(count);
        std::atomic<std::size_t> short_blocks{0}, in_flight{0}, most{0};
        made.get().for_each_block(count, grain, [&](std::size_t begin, std::size_t end) {
          const std::size_t now = ++in_flight;
          std::size_t before = most;
          while (before < now && !most.compare_exchange_weak(before, now)) {
          }
          if (end - begin < grain && end != count) ++short_blocks;
          for (std::size_t i = begin; i < end; ++i) ++visits[i];
          --in_flight;
        });
        CAPTURE(workers, count, grain);
        CHECK(std::all_of(visits.begin(), visits.end(), [](const auto& n) { return n == 1; }));
        CHECK(short_blocks == 0);
        CHECK(most <= made.get().concurrency());
      }
  }
}

TEMPLATE_LIST_TEST_CASE("an exception reaches the caller after every block has ended", "", every_executor) {
  TestType made(3);
  for (const std::size_t bad : {0, 500, 999}) {
    std::atomic<int> in_flight{0};
    const auto f = [&](std::size_t begin, std::size_t end) {
      ++in_flight;
      std::this_thread::yield();
      --in_flight;
      if (begin <= bad && bad < end) throw std::runtime_error("block");
    };
    CHECK_THROWS_WITH(made.get().for_each_block(1000, 1, f), "block");
    CHECK(in_flight == 0);
  }
  std::atomic<std::size_t> visited{0};
  made.get().for_each_block(100, 1, [&](std::size_t begin, std::size_t end) { visited += end - begin; });
  CHECK(visited == 100);
}

TEMPLATE_LIST_TEST_CASE("calls nest", "", every_executor) {
  TestType made(2);
  std::atomic<std::size_t> visited{0};
  made.get().for_each_block(20, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      made.get().for_each_block(30, 1, [&](std::size_t from, std::size_t to) { visited += to - from; });
  });
  CHECK(visited == 600);
}

TEMPLATE_LIST_TEST_CASE("one executor serves two callers", "", every_executor) {
  TestType made(2);
  std::atomic<std::size_t> visited{0};
  const auto call = [&] {
    for (int i = 0; i < 50; ++i)
      made.get().for_each_block(100, 1, [&](std::size_t begin, std::size_t end) { visited += end - begin; });
  };
  std::thread other(call);
  call();
  other.join();
  CHECK(visited == 10000);
}

TEST_CASE("a pool that never runs its tasks, or refuses them, only means no help") {
  std::vector<std::function<void()>> late;
  std::size_t visited = 0;
  const auto count = [&](std::size_t begin, std::size_t end) { visited += end - begin; };
  const auto keep = [&](auto task) { late.emplace_back(std::move(task)); };
  distill::thread_pool_executor(keep, 3).for_each_block(1000, 1, count);
  CHECK(visited == 1000);
  CHECK(late.size() == 3);
  for (auto& task : late) task();
  CHECK(visited == 1000);

  const auto refuse = [](auto) { throw std::runtime_error("full"); };
  distill::thread_pool_executor(refuse, 3).for_each_block(1000, 1, count);
  CHECK(visited == 2000);
}

TEST_CASE("the calling thread takes part") {
  thread_pool_maker made(2);
  std::set<std::thread::id> threads;
  std::mutex mutex;
  made.get().for_each_block(200, 1, [&](std::size_t, std::size_t) {
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  CHECK(threads.count(std::this_thread::get_id()) == 1);
  CHECK(threads.size() <= 3);
}
