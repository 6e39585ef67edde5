// workspace: grows once, keeps what was written, and stays inside memory it was given.
#include <catch2/catch.hpp>

#include <cstdint>
#include <cstring>
#include <distill/execution/workspace.hpp>
#include <vector>

namespace {

bool is_aligned(const void* p) {
  return reinterpret_cast<std::uintptr_t>(p) % distill::workspace::alignment == 0;
}

}  // namespace

TEST_CASE("a workspace grows to the largest request and stays there") {
  distill::workspace w;
  CHECK(w.size() == 0);
  std::byte* first = w.require(100);
  CHECK(is_aligned(first));
  std::memset(first, 42, 100);
  CHECK(w.require(50) == first);
  std::byte* grown = w.require(10000);
  CHECK(is_aligned(grown));
  CHECK(w.size() == 10000);
  for (int i = 0; i < 100; ++i) CHECK(grown[i] == std::byte{42});
  CHECK(w.require(10000) == grown);
}

TEST_CASE("a workspace in the caller's memory never leaves it") {
  std::vector<std::byte> memory(1000);
  distill::workspace w{std::span(memory)};
  std::byte* p = w.require(900);
  CHECK(is_aligned(p));
  CHECK(p >= memory.data());
  CHECK(p + 900 <= memory.data() + memory.size());
  CHECK(w.size() == 1000);
  CHECK_THROWS_WITH(w.require(2000), "workspace: needs 2064 bytes, has 1000");
}

TEST_CASE("a workspace that was moved from holds nothing") {
  distill::workspace w;
  std::byte* memory = w.require(500);
  distill::workspace other = std::move(w);
  CHECK(other.require(500) == memory);
  CHECK(w.size() == 0);
  CHECK(w.require(100) != nullptr);
  w = std::move(other);
  CHECK(w.require(500) == memory);
  CHECK(other.size() == 0);
}
