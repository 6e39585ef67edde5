// Values computed outside, by golden.py, from the closed forms that PyTorch documents.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <distill/schedule/schedule.hpp>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

using namespace distill;

namespace {

schedule schedule_of(const std::string& kind, const std::vector<double>& n) {
  const auto whole = [&](std::size_t i) { return static_cast<std::int64_t>(n.at(i)); };
  if (kind == "constant") return n.at(0);
  if (kind == "linear") return linear_schedule{.from = n.at(0), .to = n.at(1), .steps = whole(2)};
  if (kind == "cosine") return cosine_schedule{.from = n.at(0), .to = n.at(1), .steps = whole(2)};
  if (kind == "oscillating")
    return cosine_schedule{.from = n.at(0), .to = n.at(1), .steps = whole(2), .oscillates = true};
  if (kind == "restarts")
    return cosine_restarts_schedule{
        .from = n.at(0), .to = n.at(1), .steps = whole(2), .multiplier = whole(3)};
  if (kind == "exponential")
    return exponential_schedule{.from = n.at(0), .factor = n.at(1), .every = whole(2)};
  if (kind == "staircase")
    return exponential_schedule{.from = n.at(0), .factor = n.at(1), .every = whole(2), .staircase = true};
  if (kind == "polynomial")
    return polynomial_schedule{.from = n.at(0), .to = n.at(1), .steps = whole(2), .power = n.at(3)};
  REQUIRE(kind == "warm_cosine");
  return warm_up<cosine_schedule>{
      .then = {.from = n.at(0), .to = n.at(1), .steps = whole(2)}, .steps = whole(4), .from = n.at(3)};
}

}  // namespace

TEST_CASE("schedules have the values of PyTorch's closed forms") {
  std::ifstream file(DISTILL_GOLDEN_FILE);
  std::size_t count = 0;
  for (std::string line; std::getline(file, line); ++count) {
    std::istringstream words(line);
    std::string kind;
    words >> kind;
    std::vector<double> numbers;
    for (double number; words >> number;) numbers.push_back(number);
    REQUIRE(numbers.size() >= 3);
    const double expected = numbers.back();
    const auto step = static_cast<std::int64_t>(numbers[numbers.size() - 2]);
    numbers.resize(numbers.size() - 2);
    INFO(line);
    CHECK(std::abs(schedule_of(kind, numbers)(step) - expected) <= 4e-16 * std::abs(expected));
  }
  CHECK(count == 121);
}
